-- Shorten the retention of final records, all of whose predictions were returned to waiting clients.
--
-- ARGV[1]  seconds to keep them from now on
-- ARGV[2…] ids of the records
--
-- Reply: nothing.
-- Keeps: an open record has no TTL.

for i = 2, #ARGV do
  local key = k_batch .. ARGV[i]
  if redis.call('TTL', key) > tonumber(ARGV[1]) then
    redis.call('EXPIRE', key, ARGV[1])
  end
end
return false
