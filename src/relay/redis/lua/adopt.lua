-- Moves the claims of a relay whose lease has expired to another relay, under their numbers, and the items of its blocking moves into claims
-- with new numbers. It does so in one step, so exactly one of the running relays gets them. Returns how many claims it moved; -1 when the
-- other relay is running; -2 when `holder` has lost its own lease: this command was then delayed for as long, and so perhaps was the other
-- relay's renewal. A relay that left nothing and was not seen since `forget_ms` is forgotten.
if redis.call('EXISTS', other_lease) == 1 then return -1 end
if redis.call('GET', own_lease) ~= holder then return -2 end
local fields = redis.call('HGETALL', other_registry)
local moved = 0
if #fields > 0 then
  -- A command that this user may not run is refused here, before anything is moved.
  begin()
  prove_registry(other_registry)
  prove_registry(own_registry)
  local tried = redis.pcall('RENAME', other_prefix .. 'none', own_prefix .. 'none')
  if not string.find(tried.err, 'no such key', 1, true) then return redis.error_reply(tried.err) end
end
for at = 1, #fields, 2 do
  local field, meta = fields[at], fields[at + 1]
  local list = string.match(field, '^waiting:(.*)$')
  if list then
    local items = redis.call('LRANGE', waiting_prefix .. list, 0, -1)
    if #items > 0 then
      local number = next_number(least_number)
      redis.call('SET', NUMBER_KEY, number)
      for item = #items, 1, -1 do redis.call('RPUSH', own_prefix .. number, items[item]) end
      local empty = string.match(meta, '^%d+:(%d+)$')
      local wait = empty and tonumber(empty) <= tonumber(now_ms) and now_ms - empty or -1
      redis.call('HSET', own_registry, number, now_ms .. ':' .. string.format('%.0f', wait) .. ':' .. list)
      redis.call('DEL', waiting_prefix .. list)
      moved = moved + 1
    end
  elseif not string.find(field, '^attempts:') then
    local attempts = redis.call('HGET', other_registry, 'attempts:' .. field)
    redis.call('HDEL', other_registry, field, 'attempts:' .. field)
    if redis.call('EXISTS', other_prefix .. field) == 1 then
      redis.call('RENAME', other_prefix .. field, own_prefix .. field)
      if redis.call('EXISTS', other_prefix .. field .. ':settled') == 1 then
        redis.call('RENAME', other_prefix .. field .. ':settled', own_prefix .. field .. ':settled')
      end
      redis.call('HSET', own_registry, field, meta)
      if attempts then redis.call('HSET', own_registry, 'attempts:' .. field, attempts) end
      moved = moved + 1
    end
  end
end
if moved == 0 and math.abs(redis.call('ZSCORE', RELAYS_KEY, relay_id) or now_ms) < tonumber(forget_ms) then
  redis.call('ZREM', RELAYS_KEY, relay_id)
  redis.call('DEL', other_registry)
end
return moved
