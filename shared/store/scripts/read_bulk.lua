-- Read a bulk prediction.
--
-- ARGV[1]  its id
-- ARGV[2]  1 to also read the results of its slices, else 0
--
-- Reply: nil if there is no record, empty if it is another kind of record, else {now, results in the order of their
--        rows, number of open predictions accepted earlier, and the values of `bulk_fields`}.
-- Keeps: a reply is a consistent view of a record.

local fields = bulk_fields(ARGV[1])
if not fields then
  return redis.call('EXISTS', k_batch .. ARGV[1]) == 1 and {}
end
local results = ARGV[2] == '1' and redis.call('ZRANGE', k_results .. ARGV[1], 0, -1) or {}
return {time_us(), results, redis.call('ZRANK', k_bulk_open, ARGV[1]), unpack(fields)}
