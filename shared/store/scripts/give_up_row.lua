-- Record an exhausted slice of one row as a row without a result, or fail its prediction.
--
-- ARGV[1]  the slice's id
-- ARGV[2]  the result or the failure, packed
-- ARGV[3]  1 if it is a failure, else 0
-- ARGV[4]  the row's number
--
-- Reply: 1, or 0 if another gateway has done it, or the prediction is final.
-- Keeps: the row is counted once.

local id, packed, is_failure = ARGV[1], ARGV[2], ARGV[3] == '1'
local state = read(id, f_state)
read(parent_and_index(id), f_state) -- raises an error for another schema, before anything is changed
redis.call('SREM', k_exhausted, id)
if state ~= s_exhausted then
  return 0
end
local is_wanted = finish_slice(id, {packed = packed, failure = is_failure and packed, first_row = ARGV[4], n_rows = 1,
  n_bad = 1})
hand_out()
return is_wanted and 1 or 0
