-- Renew or end the reservation of an idempotency key, unless it has expired.
--
-- ARGV[1]  the key's name
-- ARGV[2]  the fingerprint that it was reserved with
-- ARGV[3]  seconds for which it is reserved from now on; 0 to release it
--
-- Reply: 1 done, 0 the key is not reserved with this fingerprint.

if redis.call('GET', ARGV[1]) == SCHEMA_NUMBER .. ' ' .. ARGV[2] .. ' ' then
  return redis.call('EXPIRE', ARGV[1], ARGV[3])
end
return 0
