-- Delete kombu's list of the messages of an earlier connection of a worker: the reconciler then publishes them again.
--
-- ARGV[1]  the worker's name
--
-- Reply: nothing.

redis.call('DEL', k_unacked .. ARGV[1], k_unacked_index .. ARGV[1])
return false
