-- Find predictions and uploads that have space, but whose objects are no longer needed.
--
-- ARGV[1]  maximum number to find
--
-- Reply: their ids.
-- Keeps: an upload that is found can neither be renewed nor accepted. Each is found again after a minute until its
--        space is released.

local now, found = time_s(), {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', k_uploads, '-inf', now - 1, 'LIMIT', 0, ARGV[1])) do
  redis.call('ZREM', k_uploads, id)
  redis.call('ZADD', k_sweep, now, id)
end

local running = {}
for _, id in ipairs(redis.call('SMEMBERS', k_slices)) do
  running[parent_and_index(id)] = true
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', k_sweep, '-inf', now, 'LIMIT', 0, ARGV[1])) do
  local ttl, next_s = redis.call('TTL', k_batch .. id), now + SWEEP_SECONDS
  local state = ttl > -2 and redis.pcall('HGET', k_batch .. id, f_state)
  local has_objects = not string.find(redis.call('HGET', k_stored, id) or '', '^0 ')
  if ttl == -2 or (ttl >= 0 and state ~= s_succeeded and has_objects) then
    next_s = now + 60
    if running[id] then
      next_s = now + 1
    else
      found[#found + 1] = id
    end
  elseif ttl >= 0 then
    next_s = now + ttl + 1
  end
  redis.call('ZADD', k_sweep, next_s, id)
end
return found
