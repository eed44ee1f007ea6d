-- Record the batches of one submission and publish their messages: all of it or nothing.
--
-- KEYS[1]  the broker's queue
-- KEYS[2]  the record that a client's id leads to: the only batch, or the head over all of them
-- KEYS[3…] the batch records, in the order of their messages
-- ARGV[1]  the largest backlog allowed, in rows
-- ARGV[2]  rows in this submission
-- ARGV[3]  members of the head record, or '' where KEYS[2] is the only batch
-- ARGV[4]  the model's reference, as JSON
-- ARGV[5]  the reply channel
-- ARGV[6]  microseconds since 1970 after which nobody waits for this submission any more
-- ARGV[7]  number of idempotency keys
-- ARGV[8…] two an idempotency key: its name, what it holds
-- ARGV[…]  six a batch: its id, rows, number of rows, members, message, origins of its members or ''
--
-- Reply: 1 accepted, 0 refused for the backlog, -1 too late.
-- Keeps: a recorded batch is published, a published batch is recorded; running it twice changes nothing.

if redis.call('EXISTS', KEYS[2]) == 1 then
  return 1
end
local created = time_us()
if tonumber(created) > tonumber(ARGV[6]) then
  return -1
end
local queue = KEYS[1]
local counted = redis.call('HMGET', BACKLOG, 'accepted:interactive', 'accepted:bulk', 'final:interactive', 'final:bulk')
for i = 1, 4 do
  counted[i] = tonumber(counted[i]) or 0
end
if counted[1] + counted[2] - counted[3] - counted[4] + tonumber(ARGV[2]) > tonumber(ARGV[1]) then
  return 0
end

local arg, names = 8, {}
for _ = 1, tonumber(ARGV[7]) do
  redis.call('SET', ARGV[arg], ARGV[arg + 1])
  names[#names + 1] = ARGV[arg]
  arg = arg + 2
end
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[2], 'state', 'queued', 'created', created, 'members', ARGV[3], 'n_rows', ARGV[2],
    'rows_done', 0, 'batches', #KEYS - 2, 'predict_us', 0, 'model', ARGV[4], 'reply', ARGV[5], 'queue', queue)
end
for i = 3, #KEYS do
  local id, n_rows, message = ARGV[arg], ARGV[arg + 2], ARGV[arg + 4]
  local sequence = redis.call('HINCRBY', BACKLOG, 'accepted:' .. queue, n_rows)
  redis.call('HSET', KEYS[i], 'state', 'queued', 'created', created, 'rows', ARGV[arg + 1], 'n_rows', n_rows,
    'members', ARGV[arg + 3], 'model', ARGV[4], 'reply', ARGV[5], 'queue', queue, 'sequence', sequence,
    'message', message)
  if ARGV[arg + 5] ~= '' then
    redis.call('HSET', KEYS[i], 'origins', ARGV[arg + 5])
  end
  redis.call('ZADD', QUEUED .. queue, sequence, id)
  redis.call('LPUSH', queue, numbered(message, sequence))
  arg = arg + 6
end
if #names > 0 then
  redis.call('HSET', KEYS[2], 'idempotency', table.concat(names, ' '))
end
return 1
