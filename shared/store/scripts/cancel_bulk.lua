-- Cancel a bulk prediction.
--
-- ARGV[1]  its id
-- ARGV[2]  the request's name: a second run with the same name has the same reply
--
-- Reply: 1 canceled, 0 the prediction is already final or there is no such record.
-- Keeps: either the cancellation or a commit ends the prediction; the worker of a running slice stops it at its next
--        beat.

local id, name = ARGV[1], ARGV[2]
local state, canceled_by, members = read(id, f_state, f_canceled_member, f_members)
if canceled_by == name then
  return 1
end
if not is_open(state) or is_late(members) then
  return 0
end
redis.call('HSET', k_batch .. id, f_canceled_member, name)
end_bulk(id, s_canceled, '')
hand_out()
return 1
