-- List dead letters, the latest first.
--
-- ARGV[1]  number to skip
-- ARGV[2]  maximum number to list
--
-- Reply: for each, its id and when it became a dead letter (seconds since 1970).

return redis.call('ZREVRANGE', k_dead_letters, ARGV[1], ARGV[1] + ARGV[2] - 1, 'WITHSCORES')
