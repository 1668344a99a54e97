-- name: identify
-- Reads the name of this server. Writes it if there is none and `may_write` is 1. It is in database 0, which all databases share. Returns
-- {name or '', why the name could not be written or ''}.
if database ~= '0' then redis.call('SELECT', '0') end
local known = redis.call('GET', SOURCE_KEY)
local why = ''
if not known and may_write == '1' then
  redis.pcall('DEL', NONE_KEY)
  local set = redis.pcall('SET', SOURCE_KEY, name)
  if set.err then why = set.err else known = name end
end
if database ~= '0' then redis.call('SELECT', database) end
return {known or '', why}

-- name: try-write
-- Runs a command that has no form without effect on a key of the relay's own, and undoes it in the same step.
local reply = redis.pcall(command, own_key, '1')
redis.call('DEL', own_key)
if type(reply) == 'table' and reply.err then return redis.error_reply(reply.err) end
return 1
