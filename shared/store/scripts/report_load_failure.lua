-- Record why a worker cannot load its model. It is kept until a worker has loaded one, or for some seconds.
--
-- ARGV[1]  code and remedy, as JSON
-- ARGV[2]  seconds to keep it
--
-- Reply: nothing.

redis.call('SET', k_load_failure, ARGV[1], 'EX', ARGV[2])
return false
