-- Lengthen the retention of a final bulk prediction that would end within some seconds.
--
-- ARGV[1]  its id
-- ARGV[2]  the seconds that it lasts at least from now on
--
-- Reply: nothing.
-- Keeps: an open record has no expiry.

for _, key in ipairs({k_batch .. ARGV[1], k_results .. ARGV[1]}) do
  local left = redis.call('TTL', key)
  if left >= 0 and left < tonumber(ARGV[2]) then
    redis.call('EXPIRE', key, ARGV[2])
  end
end
return false
