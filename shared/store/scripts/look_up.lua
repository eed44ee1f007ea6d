-- Read what is known of predictions of one batch, or of one prediction over several.
--
-- ARGV[1]  the id of the record that their ids lead to: a batch, or a parent
-- ARGV[2…] their indices in the batch; none for the prediction of a parent
--
-- Reply: nil where there is no such record, else {now, state, members, model} and
--        for a batch: {outcome, finished} and, for each index, {canceled by, its child's outcome, when that ended};
--        for a parent: {rows done, created, started, microseconds in the pipeline, finished} and the outcomes of all its
--        children where it succeeded, or of the one that failed. Times are in microseconds since 1970.
-- Keeps: it is read in one step: an id whose record is there is never half of one state and half of the next.

local id = ARGV[1]
local state, members, model, children = read(id, f_state, f_members, f_model, f_children)
if not state or (#ARGV == 1) ~= (children ~= false) then -- a parent's id has no index, and every other one has
  return false
end
local reply = {time_us(), state, members, model}
local function add(...)
  for _, value in ipairs({read(id, ...)}) do
    reply[#reply + 1] = value
  end
end

if #ARGV > 1 then
  add(f_outcome, f_finished)
  for i = 2, #ARGV do
    add(f_canceled_member .. ARGV[i], f_child_outcome .. ARGV[i], f_child_finished .. ARGV[i])
  end
  return reply
end
add(f_rows_done, f_created, f_started, f_predict_us, f_finished)
if state == s_succeeded then
  for index = 0, children - 1 do
    add(f_child_outcome .. index)
  end
elseif state == s_failed then
  add(f_child_outcome .. read(id, f_failed_child))
end
return reply
