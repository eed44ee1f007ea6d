-- What the scripts have in common. Each is one step to everybody else, and none may be run on a cluster: they find
-- further keys by the ids in the records.

local function open(state)
  return state == 'queued' or state == 'running' or state == 'exhausted' or state == 'split'
end

local function time_us()
  local now = redis.call('TIME')
  return now[1] .. string.format('%06d', now[2])
end

-- A message carries its batch's place in the order of acceptance; kombu leaves it alone.
local function numbered(message, sequence)
  return '{"sequence":' .. string.format('%.0f', sequence) .. ',' .. string.sub(message, 2)
end

-- Let go of what only an open record needs, and start its retention. `idempotency` lists the keys that lead to it.
local function retain(key, ttl, idempotency)
  redis.call('HDEL', key, 'rows', 'message', 'origins')
  redis.call('EXPIRE', key, ttl)
  for name in string.gmatch(idempotency or '', '%S+') do
    redis.call('EXPIRE', name, ttl)
  end
end

-- Drop the batches below a head that has become final and that no worker has claimed.
local function drop_queued(head_id, n, queue)
  for number = 0, n - 1 do
    local id = head_id .. '.' .. number
    if redis.call('HGET', BATCH .. id, 'state') == 'queued' then
      redis.call('DEL', BATCH .. id)
      redis.call('ZREM', QUEUED .. queue, id)
    end
  end
end

-- Write how a batch ended, where its clients look: into its own record, or into the head over it; tell their gateway.
-- `batch` holds n_rows, reply, queue and idempotency of the record; an ending holds outcome, fails, predict_us, ttl,
-- stem, number, travels and canceled, the number of canceled members. Returns how many of the batch's predictions this
-- has not made final, or false when the head has become final meanwhile.
local function settle(key, head_key, batch, ending)
  local n_rows, finished = tonumber(batch[1]), time_us()
  local announcement = ending.stem .. ' ' .. finished .. ' '
  if key == head_key then
    redis.call('HSET', key, 'state', 'committed', 'outcome', ending.outcome, 'finished', finished)
    retain(key, ending.ttl, batch[4])
    redis.call('HINCRBY', BACKLOG, 'final:' .. batch[3], n_rows)
    redis.call('PUBLISH', batch[2], ending.travels and announcement .. ending.outcome or announcement)
    return tonumber(ending.canceled) or 0
  end

  redis.call('DEL', key)
  local head = redis.call('HMGET', head_key, 'state', 'n_rows', 'rows_done', 'idempotency')
  if not open(head[1]) then
    return false
  end
  local total, done = tonumber(head[2]), tonumber(head[3]) + n_rows
  redis.call('HSET', head_key, 'outcome:' .. ending.number, ending.outcome, 'rows_done', done)
  redis.call('HINCRBY', head_key, 'predict_us', ending.predict_us)
  local is_split, over, leaving = head[1] == 'split', done == total, n_rows
  if is_split then
    redis.call('HSET', head_key, 'finished:' .. ending.number, finished, 'state', over and 'committed' or 'split')
  elseif ending.fails then
    -- The other batches' rows leave the backlog with it.
    redis.call('HSET', head_key, 'state', 'failed', 'failed', ending.number)
    over, leaving = true, n_rows + total - done
    drop_queued(ending.stem, tonumber(redis.call('HGET', head_key, 'batches')), batch[3])
  elseif over then
    redis.call('HSET', head_key, 'state', 'succeeded')
  end
  redis.call('HINCRBY', BACKLOG, 'final:' .. batch[3], leaving)
  if over then
    redis.call('HSET', head_key, 'finished', finished)
    retain(head_key, ending.ttl, head[4])
  end
  if over or is_split then
    redis.call('PUBLISH', batch[2], announcement)
  end
  if is_split then
    return redis.call('HEXISTS', head_key, 'canceled:' .. ending.number)
  end
  return over and 0 or 1
end

-- End an attempt that has no outcome: the batch is queued again, its message at the end of the queue that is popped, or
-- with its attempts used up it is left to the reconciler. One that was not claimed at all is published again as well.
-- Does nothing when the batch is another worker's, or final. Returns the queue of an attempt that it has ended, or false.
local function give_back(id, worker, reason, max_attempts)
  redis.call('HDEL', LEASES .. worker, id)
  local key = BATCH .. id
  local batch = redis.call('HMGET', key, 'state', 'worker', 'pid', 'claimed', 'token', 'lost', 'queue', 'sequence',
    'message')
  if batch[1] == 'queued' then
    redis.call('RPUSH', batch[7], numbered(batch[9], tonumber(batch[8])))
    return false
  end
  if batch[1] ~= 'running' or batch[2] ~= worker then
    return false
  end
  local lost = cjson.encode({worker = worker, pid = tonumber(batch[3]), claimed_us = batch[4], lost_us = time_us(),
    reason = reason})
  redis.call('HSET', key, 'state', 'queued', 'lost', batch[6] and batch[6] .. ',' .. lost or lost)
  if tonumber(batch[5]) >= tonumber(max_attempts) then
    redis.call('HSET', key, 'state', 'exhausted')
    redis.call('SADD', EXHAUSTED, id)
    return batch[7]
  end
  redis.call('ZADD', QUEUED .. batch[7], batch[8], id)
  redis.call('RPUSH', batch[7], numbered(batch[9], tonumber(batch[8])))
  return batch[7]
end

