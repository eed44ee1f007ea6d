-- Release the space of a refused upload, whose objects are deleted.
--
-- ARGV[1]  the upload
--
-- Reply: nothing.
-- Keeps: if the upload was recorded as a prediction, the prediction is canceled, and the sweeper releases its space.

local id = ARGV[1]
if redis.call('ZREM', k_uploads, id) == 1 then
  redis.call('DECRBY', k_stored_bytes, string.match(redis.call('HGET', k_stored, id), '%d+'))
  redis.call('HDEL', k_stored, id)
elseif is_open((read(id, f_state))) then
  end_bulk(id, s_canceled, '')
  hand_out()
end
return false
