-- Records that an item of a claim must not be sent again, if the claim still exists.
begin()
if redis.call('HEXISTS', registry, claim) == 0 then return 0 end
return redis.call('SADD', settled, index)
