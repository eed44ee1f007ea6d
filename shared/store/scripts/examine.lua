-- Read the fields that are needed to split or halve an exhausted batch, or to make a dead letter of it.
--
-- ARGV[1]  the batch's id
--
-- Reply: {state, queue, members, origins, the parent's member if the batch is part of a spanning prediction, and for a
--        slice: its rows, the source of its parent}; a value that the batch does not have is nil.

local parent = parent_and_index(ARGV[1])
local reply = {read(ARGV[1], f_state, f_queue, f_members, f_origins)}
local members, children, source, rows = false, false, false, false
if parent then
  members, children, source = read(parent, f_members, f_children, f_source)
end
if source then
  rows = read(ARGV[1], f_rows)
end
reply[5], reply[6], reply[7] = children and members, rows, source
return reply
