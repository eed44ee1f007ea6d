-- End the attempts of lost workers, publish lost messages again, and find exhausted batches.
--
-- ARGV[1]  minimum milliseconds between two runs, over all gateways
-- ARGV[2]  milliseconds without a run after which all announcements get a grace period
-- ARGV[3]  milliseconds for which an announcement is valid
-- ARGV[4]  maximum number of attempts at a batch
-- ARGV[5]  seconds to keep a dead letter
--
-- Reply: {number of batches published again, number of ended attempts of lost workers, exhausted batches…}
-- Keeps: any gateway may run this at any time; a batch that is published twice is claimed once.
--
-- Messages are popped from the end of a queue and contain the sequence numbers of their batches. So a queued batch with
-- a lower number than the message at the end has no message in the queue: the message is in the unacknowledged list of
-- an announced worker, or lost. Two successive runs must find this, because a message is briefly in neither place.

-- Sort ids in reverse order of acceptance, because the message that is pushed last is popped first.
local function latest_first(ids)
  local sequences = {}
  for _, id in ipairs(ids) do
    sequences[id] = tonumber(redis.pcall('HGET', k_batch .. id, f_sequence)) or 0
  end
  table.sort(ids, function(one, other) return sequences[one] > sequences[other] end)
  return ids
end

local MAX_BATCHES = 1000 -- per queue and run; a long script blocks the server
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local last_run_ms = tonumber(redis.call('HGET', k_reconciler, 'at')) or 0
local elapsed_ms = now_ms - last_run_ms
if elapsed_ms >= 0 and elapsed_ms < tonumber(ARGV[1]) then
  return {0, 0}
end
redis.call('HSET', k_reconciler, 'at', string.format('%.0f', now_ms))
redis.call('ZREMRANGEBYSCORE', k_dead_letters, '-inf', now[1] - ARGV[5])

-- After an outage of the broker, or a change of its clock, the announcements of live workers may have expired.
local was_outage = elapsed_ms < 0 or elapsed_ms > tonumber(ARGV[2])
local latest, n_requeued, unacked = now_ms + ARGV[3], 0, ''
local workers = redis.call('HGETALL', k_workers)
for i = 1, #workers, 2 do
  local worker = workers[i]
  local until_ms, processes, queues, granted = string.match(workers[i + 1], '(%d+) (%d+) ?(%S*)(.*)')
  until_ms = tonumber(until_ms)
  if until_ms > latest or (was_outage and until_ms > 0 and granted == '') then
    -- An announcement is extended at most once.
    redis.call('HSET', k_workers, worker, string.format('%.0f %s %s granted', latest, processes, queues))
  elseif until_ms < now_ms then
    for _, id in ipairs(latest_first(redis.call('HKEYS', k_leases .. worker))) do
      local is_readable, queue = pcall(requeue, id, worker, 'The worker was lost.', ARGV[4])
      if is_readable and queue then
        n_requeued = n_requeued + 1
      end
    end
    redis.call('DEL', k_unacked .. worker, k_unacked_index .. worker)
    if redis.call('EXISTS', k_leases .. worker) == 0 then -- else another schema's gateways requeue the batches
      redis.call('HDEL', k_workers, worker)
    end
  else
    unacked = unacked .. table.concat(redis.call('HVALS', k_unacked .. worker))
  end
end

local n_published = 0
for _, queue in ipairs({q_interactive, q_bulk}) do
  local last = redis.call('LINDEX', queue, -1)
  local sequence = last and tonumber(string.match(last, '^{"sequence":%s*(%d+)') or 0)
    or (tonumber(redis.call('HGET', k_sequence, queue)) or 0) + 1
  local previous = tonumber(redis.call('HGET', k_reconciler, queue)) or 0
  redis.call('HSET', k_reconciler, queue, string.format('%.0f', sequence))
  local below = string.format('(%.0f', math.min(sequence, previous))
  local missing = redis.call('ZRANGEBYSCORE', k_queued .. queue, '-inf', below, 'LIMIT', 0, MAX_BATCHES)
  for i = #missing, 1, -1 do -- the oldest is pushed last, so that it is popped first
    local id = missing[i]
    local batch = redis.pcall('HMGET', k_batch .. id, f_state, f_schema, f_sequence, f_message)
    if batch.err then -- the key is not a hash: skip it
    elseif batch[1] ~= s_queued or batch[2] ~= SCHEMA_NUMBER then
      redis.call('ZREM', k_queued .. queue, id)
    elseif not string.find(unacked, '"' .. id .. '"', 1, true) then
      publish_next(queue, batch[4], batch[3])
      n_published = n_published + 1
    end
  end
end

for _, id in ipairs(redis.call('SMEMBERS', k_slices)) do
  if redis.call('EXISTS', k_batch .. id) == 0 then
    redis.call('SREM', k_slices, id)
  end
end
hand_out()

local reply = {n_published, n_requeued}
for _, id in ipairs(redis.call('SRANDMEMBER', k_exhausted, 10)) do
  reply[#reply + 1] = id
end
return reply
