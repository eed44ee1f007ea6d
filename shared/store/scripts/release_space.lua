-- Release the space of predictions and uploads whose objects are deleted.
--
-- ARGV     their ids
--
-- Reply: nothing.
-- Keeps: space is released once, and never that of an open prediction. A prediction with a record stays in its owner's
--        list, and is checked again when the record has expired.

for _, id in ipairs(ARGV) do
  local n_bytes, owner = string.match(redis.call('HGET', k_stored, id) or '', '^(%d+) (.*)')
  local left = redis.call('TTL', k_batch .. id)
  if n_bytes and left ~= -1 then
    redis.call('DECRBY', k_stored_bytes, n_bytes)
    if left >= 0 then
      redis.call('HSET', k_stored, id, '0 ' .. owner)
      redis.call('ZADD', k_sweep, time_s() + left + 1, id)
    else
      redis.call('HDEL', k_stored, id)
      redis.call('ZREM', k_sweep, id)
      redis.call('ZREM', k_owner .. owner, id)
    end
  end
end
return false
