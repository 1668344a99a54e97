/** What all steps use: keys and their expiry, which of two notifications is newer, names. A part of the script that writes. */
export const SHARED = `
local prefix, now, oldest_hour = ARGV[1], tonumber(ARGV[2]), ARGV[4]
local ttl = {}
for name, seconds in string.gmatch(ARGV[3], '(%a+)=(%d+)') do ttl[name] = seconds end
local SEP = '\\31'
local function key(name) return prefix .. name end
local function expire(k, seconds) redis.call('EXPIRE', k, seconds) end

local function split(stamp)
  local source, transport, sequence, ms = string.match(stamp, '^([^|]*)|([^|]*)|([^|]*)|([^|]*)|')
  return (source or '') .. '|' .. (transport or ''), sequence or '', tonumber(ms) or 0
end
-- Sequences compare within one source and transport only; else times do. The last comparison only makes it the same everywhere.
local function newer(a, b)
  if not b or b == '' then return true end
  if a == b then return false end
  local stream_a, sequence_a, ms_a = split(a)
  local stream_b, sequence_b, ms_b = split(b)
  if stream_a == stream_b and sequence_a ~= '' and sequence_b ~= '' then return sequence_a > sequence_b end
  if ms_a ~= ms_b then return ms_a > ms_b end
  return a > b
end
local function source_of(stamp) return string.match(stamp or '', '^([^|]*)') end
local function contains(list, word) return string.find(',' .. list .. ',', ',' .. word .. ',', 1, true) ~= nil end
local function keep_latest(k, count) redis.call('ZREMRANGEBYRANK', k, 0, -count - 1) end
local function oldest(of) return now - tonumber(ttl[of]) * 1000 end
-- Names in the order of their text; a second set knows when each was last heard of, so that those are forgotten whose records are gone.
local function register(set, ref, of)
  local names, heard = key(set), key(set .. '_heard')
  redis.call('ZADD', names, 0, ref)
  redis.call('ZADD', heard, now, ref)
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', heard, '-inf', oldest(of), 'LIMIT', 0, 100)) do
    redis.call('ZREM', names, gone)
    redis.call('ZREM', heard, gone)
  end
  expire(names, ttl[of])
  expire(heard, ttl[of])
end
-- By the notification's id, which is before the separator: in a copy something else may be different, such as when it was received, or
-- that it has grown stale since.
local function add_once(k, score, id, json)
  for _, member in ipairs(redis.call('ZRANGE', k, 0, -1)) do
    if string.sub(member, 1, #id + 1) == id .. SEP then return end
  end
  redis.call('ZADD', k, score, id .. SEP .. json)
end

local apply = {}

`
