-- Read a bulk prediction.
--
-- ARGV[1]  its id
-- ARGV[2]  1 to read the results of its slices, too, else 0
--
-- Reply: nil if there is no record, empty if it is another kind of record, else {now, results in the order of their rows, its
--        number of open predecessors, and its fields as `bulk_fields` lists them}.
-- Keeps: a reply never mixes two states of a record.

local fields = bulk_fields(ARGV[1])
if not fields then
  return redis.call('EXISTS', k_batch .. ARGV[1]) == 1 and {}
end
local results = ARGV[2] == '1' and redis.call('ZRANGE', k_results .. ARGV[1], 0, -1) or {}
return {time_us(), results, redis.call('ZRANK', k_bulk_open, ARGV[1]), unpack(fields)}
