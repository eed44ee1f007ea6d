-- Replace a batch whose attempts are used up by one batch for each of its predictions, to find the culprit.
--
-- ARGV[1]  the batch's id
-- ARGV[2]  rows of members that were canceled: they get no batch
-- ARGV[3…] six a batch: its number, rows, number of rows, its only member, message, that member's origin or ''
--
-- Reply: 1, or 0 when somebody else has done it, or nobody wants the batch any more.
-- Keeps: the predictions' ids still lead to the record of the batch, which collects the outcomes.

redis.call('SREM', EXHAUSTED, ARGV[1])
local key = BATCH .. ARGV[1]
local batch = redis.call('HMGET', key, 'state', 'created', 'model', 'reply', 'queue', 'sequence')
if batch[1] ~= 'exhausted' then
  return 0
end
redis.call('HSET', key, 'state', 'split', 'split', 1, 'rows_done', ARGV[2])
redis.call('HDEL', key, 'rows', 'message', 'origins')
redis.call('HINCRBY', BACKLOG, 'final:' .. batch[5], ARGV[2])
for i = 3, #ARGV, 6 do
  local id = ARGV[1] .. '.' .. ARGV[i]
  redis.call('HSET', BATCH .. id, 'state', 'queued', 'created', batch[2], 'rows', ARGV[i + 1], 'n_rows', ARGV[i + 2],
    'members', ARGV[i + 3], 'model', batch[3], 'reply', batch[4], 'queue', batch[5], 'sequence', batch[6],
    'message', ARGV[i + 4])
  if ARGV[i + 5] ~= '' then
    redis.call('HSET', BATCH .. id, 'origins', ARGV[i + 5])
  end
  redis.call('ZADD', QUEUED .. batch[5], batch[6], id)
  redis.call('RPUSH', batch[5], numbered(ARGV[i + 4], tonumber(batch[6])))
end
return 1
