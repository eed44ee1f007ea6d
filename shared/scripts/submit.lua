-- Record the batches of one submission and publish their messages: all of it or, when the backlog is full, nothing.
--
-- KEYS[1]  the backlog's counters
-- KEYS[2]  the broker's queue
-- KEYS[3]  the record that a client's id leads to: the only batch, or the head over all of them
-- KEYS[4…] the batch records, in the order of their messages
-- ARGV[1]  the largest backlog allowed, in rows
-- ARGV[2]  rows in this submission
-- ARGV[3]  members of the head record, or '' where KEYS[3] is the only batch
-- ARGV[4]  the model's reference, as JSON
-- ARGV[5]  the reply channel
-- ARGV[6…] four a batch: rows, number of rows, members, message
--
-- Reply: 1 accepted, 0 refused.
-- Keeps: a recorded batch is published, a published batch is recorded; running it twice changes nothing.

if redis.call('EXISTS', KEYS[3]) == 1 then
  return 1
end

local counted = redis.call('HMGET', KEYS[1], 'accepted', 'final')
local backlog = (tonumber(counted[1]) or 0) - (tonumber(counted[2]) or 0)
if backlog + tonumber(ARGV[2]) > tonumber(ARGV[1]) then
  return 0
end

local now = redis.call('TIME')
local created = now[1] .. string.format('%06d', now[2])
local n_batches = #KEYS - 3

if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[3], 'state', 'queued', 'created', created, 'members', ARGV[3], 'n_rows', ARGV[2],
    'rows_done', 0, 'batches', n_batches, 'predict_us', 0, 'model', ARGV[4], 'reply', ARGV[5])
end
for i = 1, n_batches do
  local arg = 6 + (i - 1) * 4
  redis.call('HSET', KEYS[3 + i], 'state', 'queued', 'created', created, 'rows', ARGV[arg], 'n_rows', ARGV[arg + 1],
    'members', ARGV[arg + 2], 'model', ARGV[4], 'reply', ARGV[5])
  redis.call('LPUSH', KEYS[2], ARGV[arg + 3])
end
redis.call('HINCRBY', KEYS[1], 'accepted', ARGV[2])
return 1
