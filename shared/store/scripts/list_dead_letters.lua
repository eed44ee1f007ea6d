-- List some dead letters, the latest first.
--
-- ARGV[1]  how many to leave out
-- ARGV[2]  how many to list
--
-- Reply: two each: its id, and the second of its burial.

return redis.call('ZREVRANGE', k_dead_letters, ARGV[1], ARGV[1] + ARGV[2] - 1, 'WITHSCORES')
