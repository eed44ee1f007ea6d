-- Reserve space in the object store for an upload, or renew its reservation.
--
-- ARGV[1]  the upload
-- ARGV[2]  total bytes of the upload
-- ARGV[3]  limit for the bytes of all predictions and uploads
-- ARGV[4]  seconds until the reservation expires unless it is renewed
-- ARGV[5]  1 to renew a reservation, 0 for a new one
--
-- Reply: 1 reserved, 0 the limit would be exceeded, -1 the reservation to renew has expired.
-- Keeps: the total stays within the limit; a refused call does not change the reservation.

local id, n_bytes = ARGV[1], tonumber(ARGV[2])
if ARGV[5] == '1' and not redis.call('ZSCORE', k_uploads, id) then
  return -1
end
local held = tonumber(string.match(redis.call('HGET', k_stored, id) or '0', '%d+'))
local total = tonumber(redis.call('GET', k_stored_bytes)) or 0
if n_bytes > held and total - held + n_bytes > tonumber(ARGV[3]) then
  return 0
end
redis.call('HSET', k_stored, id, string.format('%.0f ', n_bytes))
redis.call('SET', k_stored_bytes, string.format('%.0f', total - held + n_bytes))
redis.call('ZADD', k_uploads, time_s() + ARGV[4], id)
return 1
