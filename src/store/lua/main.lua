-- Applies the steps, each `name, number of arguments, arguments…`, and writes their changes.
local secret = ARGV[4]
if secret ~= '' and read(key('cdr_secret')) ~= secret then return 'another secret' end
local at, applied = 6, 0
while at <= #ARGV do
  local step, count = ARGV[at], tonumber(ARGV[at + 1])
  local names, args = ARGUMENTS[step], {}
  local rest = names and REST[step]
  if not names or count < #names or (count > #names and not rest) then
    return redis.error_reply('ERR the step ' .. step .. ' does not take ' .. tostring(count) .. ' arguments')
  end
  for i, argument in ipairs(names) do args[argument] = ARGV[at + 1 + i] end
  if rest then
    args[rest] = {}
    for i = #names + 1, count do args[rest][i - #names] = ARGV[at + 1 + i] end
  end
  apply[step](args)
  at, applied = at + 2 + count, applied + 1
end
-- The secret is kept for longer than any CDR whose id is derived from it.
if secret ~= '' and is_due(upkeep, 'secret', UPKEEP_SECONDS) then expire(key('cdr_secret'), ttl.cdr + 7200) end
-- The documents come last, because they record that the rest is done. If the database rejects a command in the middle, the next attempt
-- completes the work.
write_index()
write_registers()
write_changes()
write_documents()
for _, run in ipairs(after_documents) do run() end
-- No other service replies like this: a proxy that answers OK to everything is not mistaken for the database.
return 'applied ' .. applied
