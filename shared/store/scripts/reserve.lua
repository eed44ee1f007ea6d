-- Reserve an idempotency key for a new prediction, or read its value if it exists.
--
-- ARGV[1]  the key's name
-- ARGV[2]  the fingerprint of the request
-- ARGV[3]  seconds for which it is reserved
--
-- Reply: nil if it was reserved, else its value: schema, fingerprint and, once the rows are accepted, prediction id.

return redis.call('SET', ARGV[1], SCHEMA_NUMBER .. ' ' .. ARGV[2] .. ' ', 'NX', 'GET', 'EX', ARGV[3])
