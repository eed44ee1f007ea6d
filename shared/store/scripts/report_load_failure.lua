-- Record why a worker cannot load its model. The record is deleted when a worker has loaded a model, or after a time.
--
-- ARGV[1]  code, remedy and problem, as JSON
-- ARGV[2]  seconds to keep it
--
-- Reply: nothing.

redis.call('SET', k_load_failure, ARGV[1], 'EX', ARGV[2])
return false
