-- Cancel one prediction.
--
-- ARGV[1]  the id of the record that its id leads to: a batch, or a parent
-- ARGV[2]  its index in the batch, or '' for the one prediction of a parent
-- ARGV[3]  seconds to keep a final record
-- ARGV[4]  this request's own name: asking again by the same name is the same cancellation
--
-- Reply: 1 canceled, 0 it is final already or there is no such record.
-- Keeps: the other members of the batch are not touched; rows leave the backlog once. A running batch that nobody
--        wants any more is stopped by its worker, which sees it at its next beat.

local id, index, name = ARGV[1], ARGV[2], ARGV[4]
local key, by = k_batch .. id, f_canceled_member .. index
local state, canceled_by, n_rows, members, reply, done, queue, idempotency, children, ended =
  read(id, f_state, by, f_n_rows, f_members, f_reply, f_rows_done, f_queue, f_idempotency, f_children,
    f_child_finished .. index)
if canceled_by == name then
  return 1
end
if canceled_by or not is_open(state) or (index ~= '' and ended) then -- `ended`: of a batch that was split
  return 0
end
local deadline = struct.unpack('<I8', members, (tonumber(index) or 0) * MEMBER_BYTES + DEADLINE_OFFSET)
if deadline > 0 and deadline < tonumber(time_us()) then -- it has expired
  return 0
end
redis.call('HSET', key, by, name)
if index == '' or redis.call('HINCRBY', key, f_canceled, 1) * MEMBER_BYTES == #members then
  redis.call('HSET', key, f_state, s_canceled)
  retain(id, ARGV[3], idempotency)
  redis.call('HINCRBY', k_backlog, c_final .. queue, n_rows - (tonumber(done) or 0))
  redis.call('ZREM', k_queued .. queue, id)
  if children or state == s_split then
    drop_queued(id, tonumber(children) or #members / MEMBER_BYTES, queue)
  end
end
redis.call('PUBLISH', reply, id .. ' 0 ')
return 1
