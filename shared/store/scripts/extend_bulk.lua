-- Extend the retention of a final bulk prediction to a minimum.
--
-- ARGV[1]  its id
-- ARGV[2]  minimum retention from now on, in seconds
--
-- Reply: nothing.
-- Keeps: an open record has no TTL.

for _, key in ipairs({k_batch .. ARGV[1], k_results .. ARGV[1]}) do
  local left = redis.call('TTL', key)
  if left >= 0 and left < tonumber(ARGV[2]) then
    redis.call('EXPIRE', key, ARGV[2])
  end
end
return false
