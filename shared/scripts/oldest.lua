-- Say when the oldest batch of each queue was accepted that no worker has claimed.
--
-- KEYS     the broker's queues
--
-- Reply: a time for each queue, in microseconds since 1970; '' where no batch waits.

local reply = {}
for i, queue in ipairs(KEYS) do
  local id = redis.call('ZRANGE', QUEUED .. queue, 0, 0)[1]
  reply[i] = id and redis.call('HGET', BATCH .. id, 'created') or ''
end
return reply
