-- Records the attempts of a claim's items, as `<index>=<attempt>,…`, beside the claim in the registry, if the claim still exists.
begin()
if redis.call('HEXISTS', registry, claim) == 0 then return 0 end
redis.call('HSET', registry, 'attempts:' .. claim, attempts)
return 1
