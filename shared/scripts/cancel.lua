-- Cancel one prediction.
--
-- KEYS[1]  the record that its id leads to: a batch, or a head
-- KEYS[2]  the backlog's counters
-- ARGV[1]  its place in the batch, or '' for a head
-- ARGV[2]  seconds to keep a final record
-- ARGV[3]  what to publish on the reply channel
-- ARGV[4]  this request's own name: asking again by the same name is the same cancellation
--
-- Reply: 1 canceled, 0 it is final already or there is no such record.
-- Keeps: the other members of the batch are not touched; rows leave the backlog once.

local by = 'canceled:' .. ARGV[1]
if redis.call('HGET', KEYS[1], by) == ARGV[4] then
  return 1
end
local record = redis.call('HMGET', KEYS[1], 'state', 'n_rows', 'members', 'reply', 'rows_done')
if record[1] ~= 'queued' and record[1] ~= 'running' then
  return 0
end

local n_rows = tonumber(record[2])
local over = false
if redis.call('HSETNX', KEYS[1], by, ARGV[4]) == 0 then
  return 0
end
if ARGV[1] == '' then
  n_rows = n_rows - tonumber(record[5])
  over = true
else
  over = redis.call('HINCRBY', KEYS[1], 'canceled', 1) * 17 == #record[3] -- 17 bytes a member
end

if over then
  redis.call('HSET', KEYS[1], 'state', 'canceled')
  redis.call('HDEL', KEYS[1], 'rows')
  redis.call('HINCRBY', KEYS[2], 'final', n_rows)
  redis.call('EXPIRE', KEYS[1], ARGV[2])
end
redis.call('PUBLISH', record[4], ARGV[3])
return 1
