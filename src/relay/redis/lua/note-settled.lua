-- Notes that an item of a claim is not to be sent again, if the claim is still there.
begin()
if redis.call('HEXISTS', registry, claim) == 0 then return 0 end
return redis.call('SADD', settled, index)
