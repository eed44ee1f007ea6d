-- Take an idempotency key for a new prediction, or find what it led to before.
--
-- ARGV[1]  the key's name
-- ARGV[2]  the fingerprint of the request
-- ARGV[3]  seconds for which it is reserved
--
-- Reply: nil when it is taken, else what it holds: schema, fingerprint and the prediction's id, if there is one yet.

return redis.call('SET', ARGV[1], SCHEMA .. ' ' .. ARGV[2] .. ' ', 'NX', 'GET', 'EX', ARGV[3])
