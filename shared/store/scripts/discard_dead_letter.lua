-- Delete a dead letter.
--
-- ARGV[1]  its id
--
-- Reply: 1, or 0 if there is none.

redis.call('ZREM', k_dead_letters, ARGV[1])
return redis.call('DEL', k_dead_letter .. ARGV[1])
