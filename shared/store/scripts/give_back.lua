-- End an attempt at a slice without counting it, because the object store is unavailable; queue the slice as the last.
--
-- ARGV[1]  the slice's id
-- ARGV[2]  the worker
-- ARGV[3]  the pool process
--
-- Reply: the slice's queue; nil if the pool process had no attempt to end.
-- Keeps: the lease is deleted and the slice queued, with a new sequence number, in one step.

local id, worker, pid = ARGV[1], ARGV[2], ARGV[3]
local state, claimed_by, process, queue, message = read(id, f_state, f_worker, f_pid, f_queue, f_message)
local is_wanted = is_open((read(parent_and_index(id), f_state)))
if state ~= s_running or claimed_by ~= worker or process ~= pid then
  return false
end
redis.call('HDEL', k_leases .. worker, id)
if not is_wanted then
  redis.call('DEL', k_batch .. id)
  redis.call('SREM', k_slices, id)
  return queue
end
local sequence = redis.call('HINCRBY', k_sequence, queue, 1)
redis.call('HINCRBY', k_batch .. id, f_given_back, 1)
redis.call('HSET', k_batch .. id, f_state, s_queued, f_sequence, sequence)
redis.call('ZADD', k_queued .. queue, sequence, id)
redis.call('LPUSH', queue, with_sequence(message, sequence))
return queue
