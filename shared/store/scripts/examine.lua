-- Read what is needed to split an exhausted batch, or to make a dead letter of it.
--
-- ARGV[1]  the batch's id
--
-- Reply: {state, queue, members, origins, the parent's member: nil unless the batch is part of a spanning prediction}

local parent = parent_and_index(ARGV[1])
local reply = {read(ARGV[1], f_state, f_queue, f_members, f_origins)}
local members, children = false, false
if parent then
  members, children = read(parent, f_members, f_children)
end
reply[#reply + 1] = children and members
return reply
