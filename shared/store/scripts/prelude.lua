-- Functions for all scripts. A script runs atomically. Scripts compute key names from ids and do not declare them, so
-- they cannot run on a Redis Cluster. Names that begin with k_, f_, c_, s_ and q_ are the keys, fields, counters, states
-- and queues of schema.py.

local function is_open(state)
  return state == s_queued or state == s_running or state == s_exhausted or state == s_split
end

local function time_us()
  local now = redis.call('TIME')
  return now[1] .. string.format('%06d', now[2])
end

local function time_s()
  return tonumber(redis.call('TIME')[1])
end

-- Read fields of a batch or a parent; false for each absent field, or if there is no record. Raise an error for a
-- record of another schema.
local function read(id, ...)
  local values = redis.call('HMGET', k_batch .. id, f_schema, ...)
  if values[1] ~= SCHEMA_NUMBER and (values[1] or redis.call('EXISTS', k_batch .. id) == 1) then
    error({err = 'SCHEMA ' .. (values[1] or 'none')})
  end
  return unpack(values, 2)
end

-- Return the parent of a child and its index; nil for a batch without a parent.
local function parent_and_index(id)
  return string.match(id, '^([^.]*)%.(.*)$')
end

-- Add the sequence number of its batch to a message, as a JSON member that kombu ignores.
local function with_sequence(message, sequence)
  return '{"sequence":' .. string.format('%.0f', sequence) .. ',' .. string.sub(message, 2)
end

-- Publish the message of a batch as the next one to be popped. The batch must be in the sorted set of queued batches.
local function publish_next(queue, message, sequence)
  redis.call('RPUSH', queue, with_sequence(message, tonumber(sequence)))
end

-- Delete the fields that only an open record needs, and start the retention of the record and of its idempotency keys.
local function start_retention(id, ttl, idempotency)
  redis.call('HDEL', k_batch .. id, f_rows, f_message, f_origins)
  redis.call('EXPIRE', k_batch .. id, ttl)
  for name in string.gmatch(idempotency or '', '%S+') do
    redis.call('EXPIRE', name, ttl)
  end
end

-- Delete the queued children of a parent that has become final.
local function delete_queued_children(parent, n_children, queue)
  for index = 0, n_children - 1 do
    local child = parent .. '.' .. index
    if redis.call('HGET', k_batch .. child, f_state) == s_queued then
      redis.call('DEL', k_batch .. child)
      redis.call('ZREM', k_queued .. queue, child)
    end
  end
end

-- Record the outcome of a child in its parent. The arguments and the result are those of `finish`.
local function finish_child(id, batch, result, finished)
  local parent, index = parent_and_index(id)
  local state, total, done, children, idempotency =
    read(parent, f_state, f_n_rows, f_rows_done, f_children, f_idempotency)
  redis.call('DEL', k_batch .. id)
  if not is_open(state) then
    return false
  end
  local key, is_split, rows_final = k_batch .. parent, state == s_split, tonumber(batch.n_rows)
  done = tonumber(done) + rows_final
  local is_final = done == tonumber(total)
  redis.call('HSET', key, f_child_outcome .. index, result.outcome, f_rows_done, done)
  redis.call('HINCRBY', key, f_predict_us, result.predict_us)
  if is_split then
    redis.call('HSET', key, f_child_finished .. index, finished, f_state, is_final and s_committed or s_split)
  elseif result.fails then
    -- The rows of the other children also leave the backlog.
    redis.call('HSET', key, f_state, s_failed, f_failed_child, index)
    is_final, rows_final = true, rows_final + total - done
    delete_queued_children(parent, tonumber(children), batch.queue)
  elseif is_final then
    redis.call('HSET', key, f_state, s_succeeded)
  end
  redis.call('HINCRBY', k_backlog, c_final .. batch.queue, rows_final)
  if is_final then
    redis.call('HSET', key, f_finished, finished)
    start_retention(parent, result.ttl, idempotency)
  end
  if is_final or is_split then
    redis.call('PUBLISH', batch.reply, parent .. ' ' .. finished .. ' ')
  end
  if is_split then
    return redis.call('HEXISTS', key, f_canceled_member .. index)
  end
  return is_final and 0 or 1
end

-- Record the outcome of a batch in its record or in its parent's, and publish it to the gateway. `batch` has n_rows,
-- reply, queue, idempotency and the number of canceled members; `result` has outcome, fails, predict_us, ttl, and
-- is_published: whether the reply contains the outcome. Returns the number of predictions of the batch that this does not
-- make final, or false if the parent is already final.
local function finish(id, batch, result)
  local finished = time_us()
  if parent_and_index(id) then
    return finish_child(id, batch, result, finished)
  end
  redis.call('HSET', k_batch .. id, f_state, s_committed, f_outcome, result.outcome, f_finished, finished)
  start_retention(id, result.ttl, batch.idempotency)
  redis.call('HINCRBY', k_backlog, c_final .. batch.queue, batch.n_rows)
  redis.call('PUBLISH', batch.reply, id .. ' ' .. finished .. ' ' .. (result.is_published and result.outcome or ''))
  return tonumber(batch.canceled) or 0
end

-- End an attempt without an outcome. The batch is queued again, and its message is popped next; if it has no attempts
-- left, it becomes exhausted. A batch that is still queued, because its claim did not reach the store, is published
-- again. A batch that is final, or that another worker has claimed, is not changed. Returns the queue of the ended
-- attempt, or false.
local function requeue(id, worker, reason, max_attempts)
  local state, claimed_by, pid, claimed, token, given_back, lost, queue, sequence, message =
    read(id, f_state, f_worker, f_pid, f_claimed, f_token, f_given_back, f_lost, f_queue, f_sequence, f_message)
  local parent = parent_and_index(id)
  local is_wanted = not parent or is_open((read(parent, f_state)))
  redis.call('HDEL', k_leases .. worker, id)
  if state == s_queued then
    publish_next(queue, message, sequence)
    return false
  end
  if state ~= s_running or claimed_by ~= worker then
    return false
  end
  local key = k_batch .. id
  if not is_wanted then
    redis.call('DEL', key)
    redis.call('SREM', k_slices, id)
    return queue
  end
  local attempt = cjson.encode({worker = worker, pid = tonumber(pid), claimed_us = claimed, lost_us = time_us(),
    reason = reason})
  redis.call('HSET', key, f_lost, lost and lost .. ',' .. attempt or attempt)
  if token - (given_back or 0) >= tonumber(max_attempts) then
    redis.call('HSET', key, f_state, s_exhausted)
    redis.call('SADD', k_exhausted, id)
    return queue
  end
  redis.call('HSET', key, f_state, s_queued)
  redis.call('ZADD', k_queued .. queue, sequence, id)
  publish_next(queue, message, sequence)
  return queue
end

