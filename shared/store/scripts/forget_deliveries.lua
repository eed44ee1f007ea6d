-- Delete kombu's list of the messages that an earlier connection of a worker took: the reconciler then finds them lost.
--
-- ARGV[1]  the worker's name
--
-- Reply: nothing.

redis.call('DEL', k_unacked .. ARGV[1], k_unacked_index .. ARGV[1])
return false
