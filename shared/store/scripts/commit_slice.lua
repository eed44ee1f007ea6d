-- Record the result of a slice in its prediction, or fail the prediction, and hand out the next slices.
--
-- ARGV[1]  the slice's id
-- ARGV[2]  the token of the claim
-- ARGV[3]  the result or the failure, packed
-- ARGV[4]  1 if it is a failure, else 0
-- ARGV[5]  number of its first row
-- ARGV[6]  number of its rows
-- ARGV[7]  number of its rows without a result
-- ARGV[8]  microseconds in the pipeline
-- ARGV[9]  the worker
-- ARGV[10] the pool process
--
-- Reply: 1 committed, 0 refused: another attempt has the slice, it is final, or its prediction is final or has expired.
-- Keeps: the rows of a slice are counted once, by its current token. A second run gets the same reply, because the
--        result contains the key of an object that no other attempt has written.

local id, packed, is_failure, worker = ARGV[1], ARGV[3], ARGV[4] == '1', ARGV[9]
local parent = parent_and_index(id)
if not is_failure and redis.call('ZSCORE', k_results .. parent, packed) then
  return 1
end
local state, token, claimed, model = read(id, f_state, f_token, f_claimed, f_model)
read(parent, f_state) -- raises an error for another schema, before anything is changed
if (not token or token == ARGV[2]) and redis.call('HGET', k_leases .. worker, id) == ARGV[10] then
  redis.call('HDEL', k_leases .. worker, id)
end
if state ~= s_running or token ~= ARGV[2] then
  return 0
end
if not is_failure then
  -- Each slice has a fixed cost, so a short slice measures too low a rate: it lowers the average less.
  local seconds = math.max(1, time_us() - claimed) / 1000000
  local rate, measured = tonumber(redis.call('HGET', k_rates, model)), ARGV[6] / seconds
  local weight = (not rate and 1) or (measured > rate and 0.5) or 0.3 * math.min(1, seconds * 1000 / SLICE_MS)
  redis.call('HSET', k_rates, model, (rate or 0) + (measured - (rate or 0)) * weight)
  redis.call('EXPIRE', k_rates, RATE_SECONDS)
end
local is_wanted = finish_slice(id, {packed = packed, failure = is_failure and packed, first_row = ARGV[5],
  n_rows = ARGV[6], n_bad = ARGV[7]})
if is_wanted then
  redis.call('HINCRBY', k_batch .. parent, f_predict_us, ARGV[8])
end
hand_out()
return is_wanted and 1 or 0
