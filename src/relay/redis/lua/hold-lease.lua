-- Takes or renews the lease of a relay id, unless a process holds it that is neither `holder` nor `former`, a process known to be dead.
-- Returns the holder until now, '' for none.
local held = redis.call('GET', lease) or ''
if held ~= '' and held ~= holder and held ~= former then return held end
begin()
redis.call('PSETEX', lease, lease_ms, holder)
redis.call('ZADD', RELAYS_KEY, now_ms, relay_id)
return held
