-- Functions for the scripts of bulk predictions; they use those of prelude.lua, which come first.

-- Encode a string whose length is a multiple of three.
local function base64(text)
  local alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  return (string.gsub(text, '...', function(three)
    local one, two, last = string.byte(three, 1, 3)
    local bits, encoded = one * 65536 + two * 256 + last, ''
    for _ = 1, 4 do
      local digit = bits % 64
      encoded, bits = string.sub(alphabet, digit + 1, digit + 1) .. encoded, (bits - digit) / 64
    end
    return encoded
  end))
end

-- Return the message of a slice: its parent's template, from `CeleryMessages.template`, with the values filled in.
local function slice_message(template, id, n_rows)
  local quoted = id .. '"'
  local values = {batch_id = id, n_rows = n_rows, delivery_tag = string.sub(redis.sha1hex(id), 1, 36),
    quoted_id_base64 = base64(quoted .. string.rep(' ', -#quoted % 3))}
  return (string.gsub(template, '{([a-z_0-9]+)}', values))
end

-- Return the score of a new entry in a sorted set by time; it is unique, even within a microsecond.
local function next_score(key)
  local latest = tonumber(redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')[2]) or 0
  return math.max(tonumber(time_us()), latest + 1)
end

-- Record a slice as a queued batch, and publish it. `token` is its number of used attempts: more than 0 for a half.
local function add_slice(parent, first_row, n_rows, token)
  local member, model, reply, template = read(parent, f_members, f_model, f_reply, f_message)
  local id = string.format('%s.%.0f', parent, redis.call('HINCRBY', k_batch .. parent, f_slices, 1) - 1)
  local sequence = redis.call('HINCRBY', k_sequence, q_bulk, 1)
  local message = slice_message(template, id, n_rows)
  local no_secret, counts = string.rep('\0', N_ROWS_OFFSET - 1), struct.pack('<I4I4', n_rows, 0)
  redis.call('HSET', k_batch .. id, f_schema, SCHEMA_NUMBER, f_state, s_queued, f_created, time_us(),
    f_encoding, SLICE_ENCODING, f_rows, cmsgpack.pack({first_row, n_rows}), f_n_rows, n_rows,
    f_members, no_secret .. counts .. string.sub(member, DEADLINE_OFFSET), f_model, model,
    f_reply, reply, f_queue, q_bulk, f_sequence, sequence, f_message, message, f_token, token)
  redis.call('SADD', k_slices, id)
  redis.call('ZADD', k_queued .. q_bulk, sequence, id)
  redis.call('LPUSH', q_bulk, with_sequence(message, sequence))
end

-- Cut the next slice of a bulk prediction. Returns whether a slice was cut, and whether uncut rows are left.
local function cut_slice(parent)
  local state, n_rows, first_row, previous, smallest, largest, batch_rows, model = read(parent, f_state, f_n_rows,
    f_next_row, f_slice_rows, f_min_slice_rows, f_max_slice_rows, f_batch_rows, f_model)
  if not is_open(state) then
    return false, false
  end
  local rate = tonumber(redis.call('HGET', k_rates, model))
  local rows = rate and math.floor(rate * SLICE_MS / 1000) or FIRST_SLICE_ROWS
  rows = math.min(rows, (tonumber(previous) or rows) * SLICE_GROWTH)
  rows = math.max(tonumber(smallest), math.min(rows, tonumber(largest)))
  redis.call('HSET', k_batch .. parent, f_slice_rows, rows)
  first_row, batch_rows = tonumber(first_row), tonumber(batch_rows)
  if rows > batch_rows then -- end at the end of a record batch, which the next slice would otherwise read again
    rows = math.floor((first_row + rows) / batch_rows) * batch_rows - first_row
  end
  rows = math.min(rows, n_rows - first_row)
  add_slice(parent, first_row, rows, 0)
  redis.call('HINCRBY', k_batch .. parent, f_next_row, rows)
  return true, first_row + rows < tonumber(n_rows)
end

-- Return the number of loaded pool processes of announced workers that consume the bulk queue.
local function count_bulk_processes()
  local now_ms, n_processes = tonumber(time_us()) / 1000, 0
  for _, announcement in ipairs(redis.call('HVALS', k_workers)) do
    local until_ms, processes, queues = string.match(announcement, '^(%d+) (%d+) (%S+)')
    if until_ms and tonumber(until_ms) >= now_ms and string.find(queues, q_bulk, 1, true) then
      n_processes = n_processes + processes
    end
  end
  return n_processes
end

-- Hand out as many slices as the pool processes need: in turn one of each owner, and in turn of an owner's predictions.
local function hand_out()
  local room = count_bulk_processes() * SLICES_PER_PROCESS - redis.call('SCARD', k_slices)
  while room > 0 do
    local owner = redis.call('LPOP', k_owners)
    if not owner then
      return
    end
    local uncut = k_uncut .. owner
    local id = redis.call('LPOP', uncut)
    local was_cut, has_more = false, false
    if id then
      was_cut, has_more = cut_slice(id)
    end
    if has_more then
      redis.call('RPUSH', uncut, id)
    end
    if redis.call('EXISTS', uncut) == 1 then
      redis.call('RPUSH', k_owners, owner)
    end
    room = room - (was_cut and 1 or 0)
  end
end

-- Whether the deadline of a bulk prediction has passed, so that it counts as expired.
local function is_late(member)
  local deadline = struct.unpack('<I8', member, DEADLINE_OFFSET)
  return deadline > 0 and deadline < tonumber(time_us())
end

-- Remove a bulk prediction from the turns of its owner.
local function remove_turn(parent, owner)
  redis.call('LREM', k_uncut .. owner, 0, parent)
  if redis.call('EXISTS', k_uncut .. owner) == 0 then
    redis.call('LREM', k_owners, 0, owner)
  end
end

-- End a bulk prediction: delete its slices that are not running, and start its retention. `failure` is '' unless it
-- failed. The sweeper checks it immediately, or after its retention if it has a result.
local function end_bulk(parent, state, failure)
  local key, finished = k_batch .. parent, time_us()
  local n_rows, done, owner, ttl, idempotency, reply =
    read(parent, f_n_rows, f_rows_done, f_owner, f_ttl, f_idempotency, f_reply)
  redis.call('HSET', key, f_state, state, f_finished, finished, f_outcome, failure)
  redis.call('HINCRBY', key, f_event, 1)
  redis.call('HINCRBY', k_backlog, c_final .. STORED_ROWS, n_rows - done)
  for _, id in ipairs(redis.call('SMEMBERS', k_slices)) do
    if parent_and_index(id) == parent and redis.call('HGET', k_batch .. id, f_state) ~= s_running then
      redis.call('DEL', k_batch .. id)
      redis.call('ZREM', k_queued .. q_bulk, id)
      redis.call('SREM', k_exhausted, id)
      redis.call('SREM', k_slices, id)
    end
  end
  remove_turn(parent, owner)
  redis.call('ZREM', k_bulk_open, parent)
  start_retention(parent, ttl, idempotency)
  redis.call('EXPIRE', k_results .. parent, ttl)
  redis.call('ZADD', k_sweep, time_s() + (state == s_succeeded and ttl or 0), parent)
  redis.call('PUBLISH', reply, parent .. ' ' .. finished .. ' ')
end

-- Delete a slice, and record its result in its parent. `result` has first_row, n_rows, n_bad, and packed or failure.
-- Returns whether the result was recorded: the parent was open, and its deadline had not passed.
local function finish_slice(id, result)
  local parent = parent_and_index(id)
  local state, n_rows, done, members = read(parent, f_state, f_n_rows, f_rows_done, f_members)
  redis.call('DEL', k_batch .. id)
  redis.call('SREM', k_slices, id)
  if not is_open(state) then
    return false
  end
  if is_late(members) and not result.failure then
    end_bulk(parent, s_failed, '')
    return false
  end
  if result.failure then
    end_bulk(parent, s_failed, result.failure)
    return true
  end
  local key = k_batch .. parent
  redis.call('ZADD', k_results .. parent, result.first_row, result.packed)
  redis.call('HSET', key, f_rows_done, done + result.n_rows)
  redis.call('HINCRBY', key, f_rows_bad, result.n_bad)
  redis.call('HINCRBY', k_backlog, c_final .. STORED_ROWS, result.n_rows)
  if done + result.n_rows == tonumber(n_rows) then
    end_bulk(parent, s_succeeded, '')
  else
    redis.call('HINCRBY', key, f_event, 1)
  end
  return true
end

-- Read the fields of a bulk prediction that the gateway shows; false if there is no such record.
local function bulk_fields(id)
  local fields = {read(id, f_source, f_state, f_members, f_model, f_rows_done, f_rows_bad, f_created, f_event,
    f_started, f_finished, f_predict_us, f_outcome)}
  return fields[1] and fields
end
