-- Keep the description of an alien message, among the latest ones.
--
-- ARGV[1]  the description, as JSON
-- ARGV[2]  number of descriptions to keep
-- ARGV[3]  seconds to keep them
--
-- Reply: nothing.

redis.call('LPUSH', k_alien_messages, ARGV[1])
redis.call('LTRIM', k_alien_messages, 0, ARGV[2] - 1)
redis.call('EXPIRE', k_alien_messages, ARGV[3])
return false
