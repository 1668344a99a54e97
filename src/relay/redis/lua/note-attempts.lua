-- Keeps which attempt the items of a claim are at, as `<index>=<attempt>,…`, beside the claim in the registry, if the claim is still there.
begin()
if redis.call('HEXISTS', registry, claim) == 0 then return 0 end
redis.call('HSET', registry, 'attempts:' .. claim, attempts)
return 1
