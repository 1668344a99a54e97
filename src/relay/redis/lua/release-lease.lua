-- Releases a lease. The negative score tells other relays that this one has stopped.
if redis.call('GET', lease) ~= holder then return 0 end
redis.call('DEL', lease)
redis.call('ZADD', RELAYS_KEY, -now_ms, relay_id)
return 1
