-- Functions that every step uses: keys and their expiry, the order of notifications, names.
local prefix, now = ARGV[1], tonumber(ARGV[2])
local ttl = {}
for name, seconds in string.gmatch(ARGV[3], '(%a+)=(%d+)') do ttl[name] = tonumber(seconds) end
-- Separators between the parts of a value, between the entries of a list, and between the fields of a document. Arguments contain none of
-- them.
local SEP, ENTRY, FIELD = '\31', '\30', '\29'
local HOUR_MS = 3600000
local function key(name) return prefix .. name end
local function expire(k, seconds) redis.call('EXPIRE', k, seconds) end
-- Upstash accepts at most 32 KB for a key, a field and a member, so a long name is replaced by its digest (src/store/document.ts).
local function name(text)
  if #text <= 512 then return text end
  return '~' .. redis.sha1hex(text)
end
-- Splits a text with plain finds: matching a pattern character by character takes ten times as long.
local function parts_of(text, by)
  local parts, count, from = {}, 0, 1
  repeat
    local at = string.find(text, by, from, true)
    count = count + 1
    parts[count] = string.sub(text, from, (at or 0) - 1)
    from = at and at + 1
  until not at
  return parts
end
local function entries_of(list) return list and list ~= '' and parts_of(list, ENTRY) or {} end
-- Redis limits the arguments of a call in a script, and Lua unpacks no more than some 8,000.
local MAX_ARGUMENTS = 7000
-- Calls `run` with portions of a list.
local function in_portions(list, run)
  for from = 1, #list, MAX_ARGUMENTS do
    local portion = {}
    for i = from, math.min(from + MAX_ARGUMENTS - 1, #list) do portion[#portion + 1] = list[i] end
    run(portion)
  end
end

local function split(stamp)
  local source, transport, sequence, ms = string.match(stamp, '^([^|]*)|([^|]*)|([^|]*)|([^|]*)|')
  return (source or '') .. '|' .. (transport or ''), sequence or '', tonumber(ms) or 0
end
-- The relay read this state from the dialler's keys after a gap: a state that was heard at the same time takes precedence.
local function is_resync(stamp) return string.match(stamp, '^[^|]*|([^|]*)') == 'resync' end
-- Sequences are compared only within one source and transport, times otherwise. The last comparison only makes the result the same
-- everywhere.
local function newer(a, b)
  if not b or b == '' then return true end
  if a == b then return false end
  local stream_a, sequence_a, ms_a = split(a)
  local stream_b, sequence_b, ms_b = split(b)
  if stream_a == stream_b and sequence_a ~= '' and sequence_b ~= '' then return sequence_a > sequence_b end
  if ms_a ~= ms_b then return ms_a > ms_b end
  if is_resync(a) ~= is_resync(b) then return is_resync(b) end
  return a > b
end
local function source_of(stamp) return string.match(stamp or '', '^([^|]*)') end
local function contains(list, word) return string.find(',' .. list .. ',', ',' .. word .. ',', 1, true) ~= nil end
local function keep_latest(k, count) redis.call('ZREMRANGEBYRANK', k, 0, -count - 1) end
local function oldest(args) return now - ttl[args] * 1000 end
-- Removes a bounded number of expired entries, so that a backlog never blocks the database: the next commits continue.
local function purge(k, args)
  local gone = redis.call('ZRANGEBYSCORE', k, '-inf', oldest(args), 'LIMIT', 0, 100)
  if #gone > 0 then redis.call('ZREM', k, unpack(gone)) end
  return gone
end
