-- Read what is known of predictions of one batch, or of one prediction over several.
--
-- ARGV[1]  the id of the record that their ids lead to: a batch, or a parent
-- ARGV[2…] their indices in the batch; none for the prediction of a parent
--
-- Reply: nil where there is no such record, empty where it is of the other kind, else {now, state, members, model} and
--        for a batch: {1 if it was split, outcome, finished}, then who canceled each of them, then, of a batch that was
--        split, their children's outcomes, and then when those ended;
--        for a parent: {rows done, created, started, microseconds in the pipeline, finished} and the outcomes of all its
--        children where it succeeded, or of the one that failed. Times are in microseconds since 1970.
-- Keeps: one step: a reply never mixes two states of a record.

local id = ARGV[1]
local state, members, model, children, done = read(id, f_state, f_members, f_model, f_children, f_rows_done)
if not state then
  return false
end
if (#ARGV == 1) ~= (children ~= false) then -- a parent's id has no index, and every other one has
  return {}
end
local reply, fields = {time_us(), state, members, model}, {}
local function add_of_each(field)
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
  add_of_each(f_canceled_member)
  if done then -- it was split: the rows of its children are counted
    add_of_each(f_child_outcome)
    add_of_each(f_child_finished)
  end
end
for first = 1, #fields, 1000 do -- Lua's stack holds a few thousand values
  local values = redis.call('HMGET', k_batch .. id, unpack(fields, first, math.min(first + 999, #fields)))
  for i = 1, #values do
    reply[#reply + 1] = values[i]
  end
end
return reply
