/**
 * Pushing and noting that it was pushed, in one step. Works from Redis 2.6. The note is a hash:
 * - `fence`: a word that whoever may write knows. It changes whenever an answer was lost, so that a command that was long under way
 *   finds another one and does nothing: no packet comes twice, and none behind newer ones.
 * - `op`: the last command that was done; `at`: the place in the backup files up to which packets were pushed.
 */

/** A folder that was not used for so long (s) is forgotten: 30 days. */
const EXPIRE = `redis.call('EXPIRE', KEYS[1], 2592000)`

/** KEYS: the note. ARGV: the new fence. Returns what the note said: `op`, `at`. */
export const SYNC = `
local old = redis.call('HMGET', KEYS[1], 'op', 'at')
redis.call('HSET', KEYS[1], 'fence', ARGV[1])
${EXPIRE}
return {old[1] or '', old[2] or ''}
`

/**
 * KEYS: the note, then all lists. ARGV: fence, op, at ('' for none), then groups of transport, key, count and the packets.
 * Returns `stale` (nothing was done), or `refused` and the keys that are no lists (nothing was done), or `taken` and per list group
 * the list's length, per published packet the receivers or -1 where publishing is not allowed.
 *
 * The first write is one that a server out of memory, a replica or one that cannot save refuses: then nothing was done.
 */
export const WRITE = `
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then return {'stale'} end
local reply = {'refused'}
for i = 2, #KEYS do
  local kind = redis.call('TYPE', KEYS[i])['ok']
  if kind ~= 'none' and kind ~= 'list' then reply[#reply + 1] = KEYS[i] end
end
if #reply > 1 then return reply end
redis.call('HSET', KEYS[1], 'try', ARGV[2])
reply = {'taken'}
local i = 4
while i <= #ARGV do
  local transport, key, last = ARGV[i], ARGV[i + 1], i + 2 + tonumber(ARGV[i + 2])
  i = i + 3
  if transport == 'list' then
    local length
    for from = i, last, 500 do length = redis.call('LPUSH', key, unpack(ARGV, from, math.min(from + 499, last))) end
    reply[#reply + 1] = length
  else
    for at = i, last do
      local heard = redis.pcall('PUBLISH', key, ARGV[at])
      if type(heard) == 'table' then heard = -1 end
      reply[#reply + 1] = heard
    end
  end
  i = last + 1
end
redis.call('HSET', KEYS[1], 'op', ARGV[2])
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], 'at', ARGV[3]) end
${EXPIRE}
return reply
`
