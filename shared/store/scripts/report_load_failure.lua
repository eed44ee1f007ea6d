-- Say why a worker cannot load its model, until one has, or for a while.
--
-- ARGV[1]  code and remedy, as JSON
-- ARGV[2]  seconds to keep it
--
-- Reply: nothing.

redis.call('SET', k_load_failure, ARGV[1], 'EX', ARGV[2])
return false
