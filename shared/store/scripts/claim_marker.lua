-- Read the marker of this store, or set it if there is none.
--
-- ARGV[1]  the marker to set
--
-- Reply: the marker.

redis.call('SET', k_marker, ARGV[1], 'NX')
return redis.call('GET', k_marker)
