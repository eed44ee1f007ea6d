-- Drop kombu's notes of what an earlier connection of a worker took: the reconciler then misses it.
--
-- ARGV[1]  the worker's name
--
-- Reply: nothing.

redis.call('DEL', k_unacked .. ARGV[1], k_unacked_index .. ARGV[1])
return false
