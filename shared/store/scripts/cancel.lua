-- Cancel one prediction.
--
-- ARGV[1]  the id of the prediction's record: a batch, or a parent
-- ARGV[2]  its index in the batch, or '' for the spanning prediction of a parent
-- ARGV[3]  seconds to keep a final record
-- ARGV[4]  the request's name: a second run with the same name has the same reply
--
-- Reply: 1 canceled, 0 the prediction is already final or there is no such record.
-- Keeps: the other members of the batch are not changed; rows leave the backlog once. If all members of a running
--        batch are canceled, its worker stops the batch at its next beat.

local id, index, name = ARGV[1], ARGV[2], ARGV[4]
local key, canceled_member = k_batch .. id, f_canceled_member .. index
local state, canceled_by, n_rows, members, reply, done, queue, idempotency, children, child_finished =
  read(id, f_state, canceled_member, f_n_rows, f_members, f_reply, f_rows_done, f_queue, f_idempotency, f_children,
    f_child_finished .. index)
if canceled_by == name then
  return 1
end
if canceled_by or not is_open(state) or (index ~= '' and child_finished) then -- a final child
  return 0
end
local deadline = struct.unpack('<I8', members, (tonumber(index) or 0) * MEMBER_BYTES + DEADLINE_OFFSET)
if deadline > 0 and deadline < tonumber(time_us()) then -- the prediction has expired
  return 0
end
redis.call('HSET', key, canceled_member, name)
if index == '' or redis.call('HINCRBY', key, f_canceled, 1) * MEMBER_BYTES == #members then
  redis.call('HSET', key, f_state, s_canceled)
  start_retention(id, ARGV[3], idempotency)
  redis.call('HINCRBY', k_backlog, c_final .. queue, n_rows - (tonumber(done) or 0))
  redis.call('ZREM', k_queued .. queue, id)
  if children or state == s_split then
    delete_queued_children(id, tonumber(children) or #members / MEMBER_BYTES, queue)
  end
end
redis.call('PUBLISH', reply, id .. ' 0 ')
return 1
