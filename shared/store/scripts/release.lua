-- Release an idempotency key whose rows were refused.
--
-- ARGV[1]  the key's name
--
-- Reply: nothing.

redis.call('DEL', ARGV[1])
return false
