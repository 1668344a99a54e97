-- Reads the wall's documents that were written after a cursor of the change stream (KEYS[1]; src/store/reads/wall-reads.ts): returns the
-- last entry, the names of the documents that commits wrote since, and as many of their texts as fit into a reply. Returns nothing if the
-- cursor no longer exists, if too many commits follow it, or if an entry does not name its documents: then everything is read again. This
-- read is a script because only the stream names the documents to read. It examines a bounded number of entries, and documents that were
-- written a moment ago, which the database therefore has in memory.
local cursor, prefix, most, most_bytes = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local entries = redis.call('XRANGE', KEYS[1], cursor, '+', 'COUNT', most + 1)
if not entries[1] or entries[1][1] ~= cursor or #entries > most then return {} end
local names, keys, seen = {}, {}, {}
for i = 2, #entries do
  local fields, documents = entries[i][2], nil
  for at = 1, #fields - 1, 2 do
    if fields[at] == 'documents' then documents = fields[at + 1] end
  end
  if not documents then return {} end
  for name in string.gmatch(documents, '[^\30]+') do
    if not seen[name] then
      seen[name] = true
      names[#names + 1], keys[#keys + 1] = name, prefix .. name
    end
  end
end
local texts, bytes, AT_ONCE = {}, 0, 50
for from = 1, #keys, AT_ONCE do
  if bytes > most_bytes then break end
  for _, text in ipairs(redis.call('MGET', unpack(keys, from, math.min(from + AT_ONCE - 1, #keys)))) do
    texts[#texts + 1] = text
    bytes = bytes + (text and #text or 0)
  end
end
return { entries[#entries][1], names, texts }
