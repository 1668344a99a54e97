-- name: hold-lease
-- Takes or renews the lease of a relay id, unless a process other than `holder` and `former` holds it. `former` is known to be dead.
-- Returns the process that held it before the call, '' for none.
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
