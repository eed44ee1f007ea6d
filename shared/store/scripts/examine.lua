-- Read what is needed to split or bury a batch whose attempts are used up.
--
-- ARGV[1]  the batch's id
--
-- Reply: {state, queue, members, origins, its parent's only member: nil where there is no parent, or one that was split}

local parent = lineage(ARGV[1])
local reply = {read(ARGV[1], f_state, f_queue, f_members, f_origins)}
local members, children = false, false
if parent then
  members, children = read(parent, f_members, f_children)
end
reply[#reply + 1] = children and members
return reply
