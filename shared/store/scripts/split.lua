-- Split an exhausted batch into one child for each of its members, to isolate the poison.
--
-- ARGV[1]  the batch's id
-- ARGV[2…] two for each member, in the order of their indices: its child's message, its origin or ''
--
-- Reply: 1, or 0 if another gateway has done it, or all clients have canceled.
-- Keeps: the predictions' ids still contain the id of the batch, whose record collects the outcomes. A canceled member
--        gets no child.

local id = ARGV[1]
local state, created, encoding, rows, members, model, reply, queue, sequence =
  read(id, f_state, f_created, f_encoding, f_rows, f_members, f_model, f_reply, f_queue, f_sequence)
redis.call('SREM', k_exhausted, id)
if state ~= s_exhausted then
  return 0
end
local key, first_byte, rows_canceled = k_batch .. id, 1, 0
for index = 0, #members / MEMBER_BYTES - 1 do
  local at = index * MEMBER_BYTES
  local n_rows, n_bytes = struct.unpack('<I4I4', members, at + N_ROWS_OFFSET)
  if redis.call('HEXISTS', key, f_canceled_member .. index) == 1 then
    rows_canceled = rows_canceled + n_rows
  else
    local child, message, origins = id .. '.' .. index, ARGV[2 + 2 * index], ARGV[3 + 2 * index]
    redis.call('HSET', k_batch .. child, f_schema, SCHEMA_NUMBER, f_state, s_queued, f_created, created, f_encoding, encoding,
      f_rows, string.sub(rows, first_byte, first_byte + n_bytes - 1), f_n_rows, n_rows,
      f_members, string.sub(members, at + 1, at + MEMBER_BYTES), f_model, model, f_reply, reply, f_queue, queue,
      f_sequence, sequence, f_message, message)
    if origins ~= '' then
      redis.call('HSET', k_batch .. child, f_origins, origins)
    end
    redis.call('ZADD', k_queued .. queue, sequence, child)
    publish_next(queue, message, sequence)
  end
  first_byte = first_byte + n_bytes
end
redis.call('HSET', key, f_state, s_split, f_rows_done, rows_canceled)
redis.call('HDEL', key, f_rows, f_message, f_origins)
redis.call('HINCRBY', k_backlog, c_final .. queue, rows_canceled)
return 1
