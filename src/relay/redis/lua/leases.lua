-- name: hold-lease
-- Takes or renews the lease of a relay id, unless a process holds it that is neither `holder` nor `former`, a process known to be dead.
-- Returns the holder until now, '' for none.
local held = redis.call('GET', lease) or ''
if held ~= '' and held ~= holder and held ~= former then return held end
begin()
redis.call('PSETEX', lease, lease_ms, holder)
redis.call('ZADD', RELAYS_KEY, now_ms, relay_id)
return held

-- name: release-lease
-- Releases a lease. The negative score tells other relays that this one has stopped.
if redis.call('GET', lease) ~= holder then return 0 end
redis.call('DEL', lease)
redis.call('ZADD', RELAYS_KEY, -now_ms, relay_id)
return 1
