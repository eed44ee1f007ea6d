-- Write a batch's outcome and tell the gateway that waits for it.
--
-- KEYS[1]  the batch record
-- KEYS[2]  the head record over it, or the batch record itself
-- KEYS[3]  the backlog's counters
-- ARGV[1]  the token of the claim
-- ARGV[2]  the outcome
-- ARGV[3]  seconds to keep a final record
-- ARGV[4]  what to publish on the reply channel
-- ARGV[5]  the batch's number under its head
-- ARGV[6]  1 if the outcome holds a failure, else 0
-- ARGV[7]  microseconds inside the pipeline
--
-- Reply: 1 committed, 0 refused: another attempt has the batch, or it is final.
-- Keeps: an outcome is written once, by the current token; rows leave the backlog once.

local record = redis.call('HMGET', KEYS[1], 'state', 'token', 'n_rows', 'reply')
if record[1] ~= 'running' or record[2] ~= ARGV[1] then
  return 0
end
local n_rows, reply = tonumber(record[3]), record[4]

if KEYS[1] == KEYS[2] then
  redis.call('HSET', KEYS[1], 'state', 'committed', 'outcome', ARGV[2])
  redis.call('HDEL', KEYS[1], 'rows')
  redis.call('EXPIRE', KEYS[1], ARGV[3])
  redis.call('HINCRBY', KEYS[3], 'final', n_rows)
  redis.call('PUBLISH', reply, ARGV[4])
  return 1
end

redis.call('DEL', KEYS[1])
local head = redis.call('HMGET', KEYS[2], 'state', 'n_rows', 'rows_done')
if head[1] ~= 'running' then
  return 0
end
local total, done = tonumber(head[2]), tonumber(head[3]) + n_rows
redis.call('HSET', KEYS[2], 'outcome:' .. ARGV[5], ARGV[2], 'rows_done', done)
redis.call('HINCRBY', KEYS[2], 'predict_us', ARGV[7])
if ARGV[6] == '1' then
  -- The other batches' rows leave the backlog with it: their claims find the head final.
  redis.call('HSET', KEYS[2], 'state', 'failed', 'failed', ARGV[5])
  redis.call('HINCRBY', KEYS[3], 'final', n_rows + total - done)
else
  redis.call('HINCRBY', KEYS[3], 'final', n_rows)
end
if ARGV[6] == '1' or done == total then
  if done == total and ARGV[6] == '0' then
    redis.call('HSET', KEYS[2], 'state', 'succeeded')
  end
  redis.call('EXPIRE', KEYS[2], ARGV[3])
  redis.call('PUBLISH', reply, ARGV[4])
end
return 1
