-- Runs a command that has no form without effect on a key of the relay's own, and undoes it in the same step.
local reply = redis.pcall(command, own_key, '1')
redis.call('DEL', own_key)
if type(reply) == 'table' and reply.err then return redis.error_reply(reply.err) end
return 1
