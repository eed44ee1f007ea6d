-- Check which predictions or uploads have a record or space.
--
-- ARGV     their ids
--
-- Reply: for each, 1 or 0.

local reply = {}
for i, id in ipairs(ARGV) do
  reply[i] = math.max(redis.call('EXISTS', k_batch .. id), redis.call('HEXISTS', k_stored, id))
end
return reply
