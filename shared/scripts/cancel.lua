-- Cancel one prediction.
--
-- KEYS[1]  the record that its id leads to: a batch, or a head
-- ARGV[1]  its place in the batch, or '' for a head
-- ARGV[2]  seconds to keep a final record
-- ARGV[3]  what to publish on the reply channel
-- ARGV[4]  this request's own name: asking again by the same name is the same cancellation
-- ARGV[5]  the record's id
-- ARGV[6]  bytes of one member
--
-- Reply: 1 canceled, 0 it is final already or there is no such record.
-- Keeps: the other members of the batch are not touched; rows leave the backlog once. A running batch that nobody
--        wants any more is stopped by its worker, which sees it at its next heartbeat.

local by = 'canceled:' .. ARGV[1]
if redis.call('HGET', KEYS[1], by) == ARGV[4] then
  return 1
end
local record = redis.call('HMGET', KEYS[1], 'state', 'n_rows', 'members', 'reply', 'rows_done', 'queue', 'idempotency',
  'batches')
if not open(record[1]) then
  return 0
end
local deadline = struct.unpack('<I8', record[3], (tonumber(ARGV[1]) or 0) * ARGV[6] + 18)
if deadline > 0 and deadline < tonumber(time_us()) then -- it has expired
  return 0
end
if ARGV[1] ~= '' and redis.call('HEXISTS', KEYS[1], 'finished:' .. ARGV[1]) == 1 then -- of a batch that was split
  return 0
end
if redis.call('HSETNX', KEYS[1], by, ARGV[4]) == 0 then
  return 0
end

local over = ARGV[1] == '' or redis.call('HINCRBY', KEYS[1], 'canceled', 1) * ARGV[6] == #record[3]
if over then
  redis.call('HSET', KEYS[1], 'state', 'canceled')
  retain(KEYS[1], ARGV[2], record[7])
  redis.call('HINCRBY', BACKLOG, 'final:' .. record[6], tonumber(record[2]) - (tonumber(record[5]) or 0))
  redis.call('ZREM', QUEUED .. record[6], ARGV[5])
  drop_queued(ARGV[5], tonumber(record[8]) or #record[3] / ARGV[6], record[6])
end
redis.call('PUBLISH', record[4], ARGV[3])
return 1
