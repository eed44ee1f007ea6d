-- Read predictions of one batch, or one spanning prediction.
--
-- ARGV[1]  the id of their record: a batch, or a parent
-- ARGV[2…] their indices in the batch; none for a spanning prediction
--
-- Reply: nil if there is no such record, empty if the record is of another kind than the id, else {now, state, members,
--        model}, followed
--        for a batch by {1 if it was split, else 0, outcome, finished}, and for each index the request that canceled
--        it; after a split also by the outcome of each index's child, and the time of each of these outcomes;
--        for a parent by {rows done, created, started, microseconds in the pipeline, finished} and the outcomes of all
--        children if it succeeded, or of the failed child. Times are in microseconds since 1970.
-- Keeps: a reply is a consistent view of a record.

local id = ARGV[1]
local state, members, model, children, done, source =
  read(id, f_state, f_members, f_model, f_children, f_rows_done, f_source)
if not state then
  return false
end
-- Only the record of a spanning prediction has children, and needs no index; `read_bulk.lua` reads bulk predictions.
if (#ARGV == 1) ~= (children ~= false) or source then
  return {}
end
local reply, fields = {time_us(), state, members, model}, {}
local function add_for_each_index(field)
  for i = 2, #ARGV do
    fields[#fields + 1] = field .. ARGV[i]
  end
end

if children then
  fields = {f_rows_done, f_created, f_started, f_predict_us, f_finished}
  if state == s_succeeded then
    for index = 0, children - 1 do
      fields[#fields + 1] = f_child_outcome .. index
    end
  elseif state == s_failed then
    fields[#fields + 1] = f_child_outcome .. read(id, f_failed_child)
  end
else
  reply[#reply + 1] = done and 1 or 0
  fields = {f_outcome, f_finished}
  add_for_each_index(f_canceled_member)
  if done then -- the batch was split
    add_for_each_index(f_child_outcome)
    add_for_each_index(f_child_finished)
  end
end
for first = 1, #fields, 1000 do -- Lua's stack is limited to a few thousand values
  local values = redis.call('HMGET', k_batch .. id, unpack(fields, first, math.min(first + 999, #fields)))
  for i = 1, #values do
    reply[#reply + 1] = values[i]
  end
end
return reply
