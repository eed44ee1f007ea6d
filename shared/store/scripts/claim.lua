-- Start an attempt at a batch.
--
-- ARGV[1]  the batch's id
-- ARGV[2]  the attempt's name: a second run with the same name returns the same attempt
-- ARGV[3]  the worker
-- ARGV[4]  the pool process
-- ARGV[5]  seconds to keep a final record
--
-- Reply: nil if there is nothing to run, else
--        {token, created, now, encoding, rows, members, model, queue, origins, for a slice: the source of its rows};
--        times are in microseconds since 1970.
-- Keeps: every attempt has a different token, its number; only the latest attempt can commit. A running batch cannot be
--        claimed again while its worker's announcement is valid. A pool process that retries because it lost the reply
--        gets the same token, so that a broker that hangs does not use up attempts.

local id, name, worker, pid = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local state, token, claimant, created, encoding, rows, members, model, queue, origins =
  read(id, f_state, f_token, f_claimant, f_created, f_encoding, f_rows, f_members, f_model, f_queue, f_origins)
local is_retry = state == s_running and claimant == name
if state ~= s_queued and not is_retry then
  return false
end
local key, now = k_batch .. id, time_us()
local parent, index = parent_and_index(id)
local parent_state, is_canceled, source, parents_origin
if parent then
  parent_state, is_canceled, source, parents_origin =
    read(parent, f_state, f_canceled_member .. index, f_source, f_origins)
end
redis.call('ZREM', k_queued .. queue, id) -- after the reads: an error in one of them must change nothing
if parent then
  if not is_open(parent_state) then
    redis.call('DEL', key)
    redis.call('SREM', k_slices, id)
    return false
  end
  if parent_state == s_split and is_canceled then
    local n_rows, reply = read(id, f_n_rows, f_reply)
    finish(id, {n_rows = n_rows, reply = reply, queue = queue}, {outcome = '', predict_us = 0, ttl = ARGV[5]})
    return false
  end
  if parent_state ~= s_split then
    redis.call('HSET', k_batch .. parent, f_state, s_running)
    if redis.call('HSETNX', k_batch .. parent, f_started, now) == 1 and source then
      redis.call('HINCRBY', k_batch .. parent, f_event, 1)
    end
  end
end

token = tonumber(token) or 0
if not is_retry then
  token = token + 1
  redis.call('HSET', key, f_token, token, f_state, s_running, f_claimant, name, f_worker, worker, f_pid, pid,
    f_claimed, now)
  redis.call('HSET', k_leases .. worker, id, pid)
  redis.call('HSETNX', k_workers, worker, '0 0') -- so that the reconciler finds the lease of a worker that was lost
end
return {token, created, now, encoding, rows, members, model, queue, origins or parents_origin or false, source or false}
