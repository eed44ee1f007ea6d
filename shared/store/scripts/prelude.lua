-- What the scripts have in common. Each is one step to everybody else. They name no keys in advance, as they find them
-- by the ids in the records: they do not run on a cluster. Names that begin with k_, f_, c_, s_ and q_ are the keys,
-- fields, counters, states and queues of schema.py.

local function is_open(state)
  return state == s_queued or state == s_running or state == s_exhausted or state == s_split
end

local function time_us()
  local now = redis.call('TIME')
  return now[1] .. string.format('%06d', now[2])
end

-- Read fields of a batch or a parent: false for each that it has not, or where there is no record. One that is written
-- by another schema ends the script.
local function read(id, ...)
  local values = redis.call('HMGET', k_batch .. id, f_schema, ...)
  if values[1] ~= SCHEMA and (values[1] or redis.call('EXISTS', k_batch .. id) == 1) then
    error({err = 'SCHEMA ' .. (values[1] or 'none')})
  end
  return unpack(values, 2)
end

-- A child's parent and its index there; nil for a batch that stands alone.
local function lineage(id)
  return string.match(id, '^([^.]*)%.(.*)$')
end

-- A message carries its batch's number in the order of acceptance; kombu leaves it alone.
local function numbered(message, sequence)
  return '{"sequence":' .. string.format('%.0f', sequence) .. ',' .. string.sub(message, 2)
end

-- Put a batch's message where it is popped next. Whoever calls it, the batch is in the sorted set of queued ones.
local function publish_next(queue, message, sequence)
  redis.call('RPUSH', queue, numbered(message, tonumber(sequence)))
end

-- Let go of what only an open record needs, and start its retention. `idempotency` lists the keys that lead to it.
local function retain(id, ttl, idempotency)
  redis.call('HDEL', k_batch .. id, f_rows, f_message, f_origins)
  redis.call('EXPIRE', k_batch .. id, ttl)
  for name in string.gmatch(idempotency or '', '%S+') do
    redis.call('EXPIRE', name, ttl)
  end
end

-- Delete the children that no worker has claimed, of a parent that has become final.
local function drop_queued(parent, n_children, queue)
  for index = 0, n_children - 1 do
    local child = parent .. '.' .. index
    if redis.call('HGET', k_batch .. child, f_state) == s_queued then
      redis.call('DEL', k_batch .. child)
      redis.call('ZREM', k_queued .. queue, child)
    end
  end
end

-- Record how a child ended: in its parent. Returns as `conclude`.
local function conclude_child(id, batch, ending, finished)
  local parent, index = lineage(id)
  local state, total, done, children, idempotency =
    read(parent, f_state, f_n_rows, f_rows_done, f_children, f_idempotency)
  redis.call('DEL', k_batch .. id)
  if not is_open(state) then
    return false
  end
  local key, is_split, leaving = k_batch .. parent, state == s_split, tonumber(batch.n_rows)
  done = tonumber(done) + leaving
  local is_over = done == tonumber(total)
  redis.call('HSET', key, f_child_outcome .. index, ending.outcome, f_rows_done, done)
  redis.call('HINCRBY', key, f_predict_us, ending.predict_us)
  if is_split then
    redis.call('HSET', key, f_child_finished .. index, finished, f_state, is_over and s_committed or s_split)
  elseif ending.fails then
    -- The other children's rows leave the backlog with it.
    redis.call('HSET', key, f_state, s_failed, f_failed_child, index)
    is_over, leaving = true, leaving + total - done
    drop_queued(parent, tonumber(children), batch.queue)
  elseif is_over then
    redis.call('HSET', key, f_state, s_succeeded)
  end
  redis.call('HINCRBY', k_backlog, c_final .. batch.queue, leaving)
  if is_over then
    redis.call('HSET', key, f_finished, finished)
    retain(parent, ending.ttl, idempotency)
  end
  if is_over or is_split then
    redis.call('PUBLISH', batch.reply, parent .. ' ' .. finished .. ' ')
  end
  if is_split then
    return redis.call('HEXISTS', key, f_canceled_member .. index)
  end
  return is_over and 0 or 1
end

-- Record how a batch ended where its clients look: in its own record, or in its parent's; tell their gateway.
-- `batch` holds n_rows, reply, queue, idempotency and the number of canceled members; `ending` holds outcome, fails,
-- predict_us, ttl, and whether the outcome travels with the announcement. Returns how many of the batch's predictions
-- this has not made final, or false when the parent has become final meanwhile.
local function conclude(id, batch, ending)
  local finished = time_us()
  if lineage(id) then
    return conclude_child(id, batch, ending, finished)
  end
  redis.call('HSET', k_batch .. id, f_state, s_committed, f_outcome, ending.outcome, f_finished, finished)
  retain(id, ending.ttl, batch.idempotency)
  redis.call('HINCRBY', k_backlog, c_final .. batch.queue, batch.n_rows)
  redis.call('PUBLISH', batch.reply, id .. ' ' .. finished .. ' ' .. (ending.travels and ending.outcome or ''))
  return tonumber(batch.canceled) or 0
end

-- End an attempt that has no outcome: the batch is queued again, its message where it is popped next, or with its
-- attempts used up it is left to the reconciler. One that is still queued, because its claim did not come to the store, is
-- published again. Does nothing when the batch is another worker's, or final. Returns the queue of an attempt that it
-- has ended, or false.
local function requeue(id, worker, reason, max_attempts)
  local state, holder, pid, claimed, token, lost, queue, sequence, message =
    read(id, f_state, f_worker, f_pid, f_claimed, f_token, f_lost, f_queue, f_sequence, f_message)
  local parent = lineage(id)
  local is_wanted = not parent or is_open((read(parent, f_state)))
  redis.call('HDEL', k_leases .. worker, id)
  if state == s_queued then
    publish_next(queue, message, sequence)
    return false
  end
  if state ~= s_running or holder ~= worker then
    return false
  end
  local key = k_batch .. id
  if not is_wanted then
    redis.call('DEL', key)
    return queue
  end
  local ended = cjson.encode({worker = worker, pid = tonumber(pid), claimed_us = claimed, lost_us = time_us(),
    reason = reason})
  redis.call('HSET', key, f_lost, lost and lost .. ',' .. ended or ended)
  if tonumber(token) >= tonumber(max_attempts) then
    redis.call('HSET', key, f_state, s_exhausted)
    redis.call('SADD', k_exhausted, id)
    return queue
  end
  redis.call('HSET', key, f_state, s_queued)
  redis.call('ZADD', k_queued .. queue, sequence, id)
  publish_next(queue, message, sequence)
  return queue
end

