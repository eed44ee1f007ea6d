-- Read bulk predictions of an owner, the latest first.
--
-- ARGV[1]  the owner, in hexadecimal
-- ARGV[2]  the upper end of scores: '+inf', or '(' and the score of the last prediction that was listed
-- ARGV[3]  maximum number to read
--
-- Reply: {now, then for each: {id, score, and, unless its record has expired, the number of open predictions accepted
--        earlier and the values of `bulk_fields`}}.

local entries = redis.call('ZREVRANGEBYSCORE', k_owner .. ARGV[1], ARGV[2], '-inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
local reply = {time_us()}
for i = 1, #entries, 2 do
  local id, fields = entries[i], bulk_fields(entries[i])
  local entry = {id, string.format('%.0f', entries[i + 1])}
  if fields then
    entry = {id, entry[2], redis.call('ZRANK', k_bulk_open, id), unpack(fields)}
  end
  reply[#reply + 1] = entry
end
return reply
