import { BEGIN, NEXT_NUMBER, PROVE_REGISTRY } from './lua-parts.ts'

export const TAKE_LEASE = `
local other = redis.call('GET', KEYS[1])
if other and other ~= ARGV[1] and other ~= ARGV[2] then return other end
redis.call('DEL', KEYS[1])
redis.call('PSETEX', KEYS[1], ARGV[3], ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[5], ARGV[4])
return ''
`

export const RENEW_LEASE = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3])
return 1
`

export const RELEASE_LEASE = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZADD', KEYS[2], -ARGV[3], ARGV[2])
return 1
`

/**
 * Moves the claims of a relay whose lease has run out to another one, under their numbers, and what its blocking moves took into
 * claims of new numbers. In one step: exactly one of those that live gets them. Not when the own lease has run out as well: then the
 * command waited for as long, and so did the other relay's renewal.
 */
export const ADOPT = `${NEXT_NUMBER}${PROVE_REGISTRY}
local registry, own_registry = KEYS[2], KEYS[3]
local prefix, own_prefix, waiting, now, least = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if redis.call('EXISTS', KEYS[1]) == 1 then return -1 end
if redis.call('GET', KEYS[6]) ~= ARGV[8] then return -2 end
local fields = redis.call('HGETALL', registry)
local moved = 0
if #fields > 0 then
  -- Whatever is refused to this user is refused here, before anything is moved.
  ${BEGIN}
  prove_registry(registry)
  prove_registry(own_registry)
  local tried = redis.pcall('RENAME', prefix .. 'none', own_prefix .. 'none')
  if not string.find(tried.err, 'no such key', 1, true) then return redis.error_reply(tried.err) end
end
for at = 1, #fields, 2 do
  local field, meta = fields[at], fields[at + 1]
  local list = string.match(field, '^waiting:(.*)$')
  if list then
    local items = redis.call('LRANGE', waiting .. list, 0, -1)
    if #items > 0 then
      local n = next_number(KEYS[4], least)
      redis.call('SET', KEYS[4], n)
      for item = #items, 1, -1 do redis.call('RPUSH', own_prefix .. n, items[item]) end
      local empty = string.match(meta, '^%d+:(%d+)$')
      local wait = empty and tonumber(empty) <= tonumber(now) and now - empty or -1
      redis.call('HSET', own_registry, n, now .. ':' .. string.format('%.0f', wait) .. ':' .. list)
      redis.call('DEL', waiting .. list)
      moved = moved + 1
    end
  else
    redis.call('HDEL', registry, field)
    if redis.call('EXISTS', prefix .. field) == 1 then
      redis.call('RENAME', prefix .. field, own_prefix .. field)
      if redis.call('EXISTS', prefix .. field .. ':settled') == 1 then
        redis.call('RENAME', prefix .. field .. ':settled', own_prefix .. field .. ':settled')
      end
      redis.call('HSET', own_registry, field, meta)
      moved = moved + 1
    end
  end
end
if moved == 0 and math.abs(redis.call('ZSCORE', KEYS[5], ARGV[6]) or now) < tonumber(ARGV[7]) then
  redis.call('ZREM', KEYS[5], ARGV[6])
  redis.call('DEL', registry)
end
return moved
`
