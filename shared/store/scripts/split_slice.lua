-- Replace an exhausted slice by its two halves, to isolate the row that causes the failure.
--
-- ARGV[1]  the slice's id
-- ARGV[2]  maximum number of attempts at a batch
--
-- Reply: 1, or 0 if another gateway has done it, or the prediction is final.
-- Keeps: each row is in one slice. A half has one attempt; a single row has all attempts, and is given up after them.

local id, max_attempts = ARGV[1], tonumber(ARGV[2])
local state, rows = read(id, f_state, f_rows)
local parent = parent_and_index(id)
local parent_state = read(parent, f_state)
redis.call('SREM', k_exhausted, id)
if state ~= s_exhausted then
  return 0
end
redis.call('DEL', k_batch .. id)
redis.call('SREM', k_slices, id)
if not is_open(parent_state) then
  hand_out()
  return 0
end
local first_row, n_rows = unpack(cmsgpack.unpack(rows))
local half = math.ceil(n_rows / 2)
for _, part in ipairs({{first_row, half}, {first_row + half, n_rows - half}}) do
  add_slice(parent, part[1], part[2], part[2] == 1 and 0 or max_attempts - 1)
end
return 1
