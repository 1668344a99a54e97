/** Holds what all steps use: keys and their expiry, which of two notifications is newer, names. A part of the script that writes. */
export const SHARED = `
local prefix, now, oldest_hour = ARGV[1], tonumber(ARGV[2]), ARGV[4]
local ttl = {}
for name, seconds in string.gmatch(ARGV[3], '(%a+)=(%d+)') do ttl[name] = seconds end
-- Between the parts of a value, and between the entries of a value that is a list. Arguments hold neither.
local SEP, ENTRY = '\\31', '\\30'
local function key(name) return prefix .. name end
local function expire(k, seconds) redis.call('EXPIRE', k, seconds) end
-- Upstash takes at most 32 KB for a key, a field and a member: what a payload makes longer goes by its digest (src/store/names.ts).
local function name(text)
  if #text <= 512 then return text end
  return '~' .. redis.sha1hex(text)
end
local function parts_of(text, by)
  local parts = {}
  for part in string.gmatch(text .. by, '([^' .. by .. ']*)' .. by) do parts[#parts + 1] = part end
  return parts
end
local function entries_of(list) return list and list ~= '' and parts_of(list, ENTRY) or {} end

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
-- Removes a bounded number of entries that are no longer kept, so that a backlog never stalls the database: the next steps go on.
local function purge(k, of)
  local gone = redis.call('ZRANGEBYSCORE', k, '-inf', oldest(of), 'LIMIT', 0, 100)
  if #gone > 0 then redis.call('ZREM', k, unpack(gone)) end
  return gone
end
-- Names in the order of their text; a second set knows when each was last heard of, so that those are forgotten whose records are gone.
local function register(set, ref, of)
  local names, heard, short = key(set), key(set .. '_heard'), name(ref)
  if short ~= ref then redis.call('SET', key('name:' .. short), ref, 'EX', ttl[of]) end
  redis.call('ZADD', names, 0, short)
  redis.call('ZADD', heard, now, short)
  local gone = purge(heard, of)
  if #gone > 0 then redis.call('ZREM', names, unpack(gone)) end
  expire(names, ttl[of])
  expire(heard, ttl[of])
end
-- Keeps the latest entries of a list, each once; an entry begins with its time (unix ms) and its id. A copy has the same id, or is one by
-- the function; of two copies the one stays that the function prefers.
local function add_once(k, entry, most, seconds, is_copy)
  local entries = redis.call('LRANGE', k, 0, -1)
  local head = string.match(entry, '^[^' .. SEP .. ']*' .. SEP .. '([^' .. SEP .. ']*' .. SEP .. ')')
  local first, first_ms
  for _, other in ipairs(entries) do
    local ms, id = string.match(other, '^([^' .. SEP .. ']*)' .. SEP .. '([^' .. SEP .. ']*' .. SEP .. ')')
    if id == head then return end
    if is_copy then
      local better = is_copy(entry, other)
      if better == false then return end
      if better then
        redis.call('LREM', k, 1, other)
        redis.call('RPUSH', k, entry)
        return
      end
    end
    ms = tonumber(ms) or 0
    if not first or ms < first_ms then first, first_ms = other, ms end
  end
  redis.call('RPUSH', k, entry)
  if #entries >= most then
    if first_ms > tonumber(string.match(entry, '^[^' .. SEP .. ']*')) then first = entry end
    redis.call('LREM', k, 1, first)
  end
  expire(k, seconds)
end

local apply = {}

`
