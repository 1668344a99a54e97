/** Writes CDRs, their revisions, and how many there were of each kind in each hour. A part of the script that writes. */
export const CDRS = `
-- A count's name begins with its hour. The first of a kind in an hour clears away the hours that are no longer kept. End reasons are an open
-- set: from some number on they are counted together. Answers the name under which it is counted.
local MOST_COUNTS = 2000
local function count_cdr(campaign, field, by)
  if field < oldest_hour then return field end
  local k = key('counts:' .. name(campaign))
  local count = redis.call('HINCRBY', k, field, by)
  if count <= 0 then redis.call('HDEL', k, field) end
  if count == 1 and by == 1 then
    local kept = 0
    for _, former in ipairs(redis.call('HKEYS', k)) do
      if former < oldest_hour then redis.call('HDEL', k, former) else kept = kept + 1 end
    end
    local more = string.match(field, '^[^|]*') .. '|more'
    if kept > MOST_COUNTS and field ~= more then
      redis.call('HDEL', k, field)
      redis.call('HINCRBY', k, more, 1)
      field = more
    end
  end
  expire(k, ttl.cdr)
  return field
end

-- A CDR is kept from when it came, and listed by when it was dialled, which may be years before. So what is to be purged is told by a queue: each
-- entry names the indexes that hold the CDR. A few for each CDR that comes: a backlog never stalls the database.
local purges = 200
local function purge_cdrs()
  purges = purges + 2
  local queue, before = key('cdrs_kept'), oldest('cdr')
  local gone = redis.call('ZRANGEBYSCORE', queue, '-inf', before, 'LIMIT', 0, math.min(purges, 50))
  if #gone == 0 then return end
  purges = purges - #gone
  for _, entry in ipairs(gone) do
    local parts = parts_of(entry, SEP)
    -- Kept again since: a revision has an entry of its own.
    local kept = tonumber(redis.call('HGET', key('cdr:' .. parts[1]), 'kept') or '')
    if not kept or kept <= before then
      redis.call('ZREM', key('cdrs'), parts[1])
      for i = 2, #parts do redis.call('ZREM', key('cdrs_by:' .. parts[i]), parts[1]) end
    end
  end
  redis.call('ZREM', queue, unpack(gone))
end
-- A CDR's key holds a phone number. Its id must neither show one nor tell whether a guess is right, so it is a digest of the key and of a secret of
-- this database, which is kept as long as any CDR.
local secret
local function id_of(cdr_key)
  if not secret then
    local k = key('cdr_secret')
    secret = redis.call('GET', k) or ARGV[5]
    redis.call('SET', k, secret, 'EX', ttl.cdr)
  end
  return redis.sha1hex(secret .. cdr_key)
end
local function index_cdr(k, ms, id)
  redis.call('ZADD', k, ms, id)
  expire(k, ttl.cdr)
end

function apply.cdr(cdr_key, source, call_ref, agent, stamp, ms, listed_ms, end_ms, numbers, digest, content, json, campaign, count_field, ...)
  end_call(source, call_ref, agent, end_ms, numbers, stamp)
  local id, keys = id_of(cdr_key), { ... }
  for i = 1, #keys do keys[i] = name(keys[i]) end
  local k, revisions = key('cdr:' .. id), key('cdr_revisions:' .. id)
  local former = redis.call('HMGET', k, 'digest', 'stamp', 'json', 'campaign', 'count', 'ms', 'keys', 'kept')
  if former[8] and tonumber(former[8]) <= oldest('cdr') then
    redis.call('DEL', k, revisions)
    former = {}
  end
  if former[1] == digest then return end
  if former[1] then
    if redis.call('HEXISTS', revisions, digest) == 1 then return end
    redis.call('HSET', k, 'revised', '1')
    if not newer(stamp, former[2]) then
      redis.call('HSET', revisions, digest, ms .. SEP .. json)
      expire(revisions, ttl.cdr)
      return
    end
    redis.call('HSET', revisions, former[1], former[6] .. SEP .. former[3])
    expire(revisions, ttl.cdr)
    count_cdr(former[4], former[5], -1)
    local listed = SEP .. table.concat(keys, SEP) .. SEP
    for _, own in ipairs(parts_of(former[7], SEP)) do
      if not string.find(listed, SEP .. own .. SEP, 1, true) then redis.call('ZREM', key('cdrs_by:' .. own), id) end
    end
  end
  -- By a relay whose clock is wrong: it must not lie in front of all others for ever.
  if tonumber(listed_ms) > now + 86400000 then listed_ms = ARGV[2] end
  local count = count_cdr(campaign, count_field, 1)
  local joined = table.concat(keys, SEP)
  redis.call('HSET', k, 'digest', digest, 'content', content, 'stamp', stamp, 'json', json, 'campaign', campaign, 'count', count, 'ms', ms, 'keys', joined, 'kept', now)
  expire(k, ttl.cdr)
  index_cdr(key('cdrs'), listed_ms, id)
  for i = 1, #keys do index_cdr(key('cdrs_by:' .. keys[i]), listed_ms, id) end
  index_cdr(key('cdrs_kept'), now, joined == '' and id or id .. SEP .. joined)
  purge_cdrs()
  if campaign ~= '' then register('campaigns', campaign, 'campaign') end
end

`
