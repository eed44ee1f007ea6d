-- Find what no queue and no living worker holds any more, and put it back.
--
-- ARGV[1]  milliseconds between two looks, whichever gateways take them
-- ARGV[2]  milliseconds without a look after which all workers are given time to announce themselves again
-- ARGV[3]  milliseconds for which an announcement is believed
-- ARGV[4]  attempts that a batch has
-- ARGV[5]  seconds to keep a dead letter
--
-- Reply: {batches published again, attempts of lost workers, batches whose attempts are used up…}
-- Keeps: safe at any time, by anybody: a batch that is published twice is claimed once.
--
-- A queue is popped at its end, and its messages carry their batches' numbers in the order of acceptance. So a queued
-- batch with a lower number than the message at the end has no message in the queue: a living worker has noted it as
-- taken, or it is lost. It has to look so twice in a row: a message is between a queue and a note for an instant.

-- What is pushed last is popped first.
local function latest_first(ids)
  local sequences = {}
  for _, id in ipairs(ids) do
    sequences[id] = tonumber(redis.pcall('HGET', k_batch .. id, f_sequence)) or 0
  end
  table.sort(ids, function(one, other) return sequences[one] > sequences[other] end)
  return ids
end

local MOST = 1000 -- batches a look; a script that runs for long stops everybody
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local looked_at = tonumber(redis.call('HGET', k_reconciler, 'at')) or 0
local since = now_ms - looked_at
if since >= 0 and since < tonumber(ARGV[1]) then
  return {0, 0}
end
redis.call('HSET', k_reconciler, 'at', string.format('%.0f', now_ms))
redis.call('ZREMRANGEBYSCORE', k_dead_letters, '-inf', now[1] - ARGV[5])

-- The broker was away, or its clock was moved: nobody could announce anything.
local was_away = since < 0 or since > tonumber(ARGV[2])
local latest, n_requeued, noted = now_ms + ARGV[3], 0, ''
local workers = redis.call('HGETALL', k_workers)
for i = 1, #workers, 2 do
  local worker = workers[i]
  local until_ms, processes, granted = string.match(workers[i + 1], '(%d+) (%d+)(.*)')
  until_ms = tonumber(until_ms)
  if until_ms > latest or (was_away and until_ms > 0 and granted == '') then
    redis.call('HSET', k_workers, worker, string.format('%.0f %s granted', latest, processes)) -- at most one grace period an announcement
  elseif until_ms < now_ms then
    for _, id in ipairs(latest_first(redis.call('HKEYS', k_leases .. worker))) do
      local is_ours, queue = pcall(requeue, id, worker, 'The worker was lost.', ARGV[4])
      if is_ours and queue then
        n_requeued = n_requeued + 1
      end
    end
    redis.call('DEL', k_unacked .. worker, k_unacked_index .. worker)
    if redis.call('EXISTS', k_leases .. worker) == 0 then -- else one is of another schema, and left to those who can read it
      redis.call('HDEL', k_workers, worker)
    end
  else
    noted = noted .. table.concat(redis.call('HVALS', k_unacked .. worker))
  end
end

local n_published = 0
for _, queue in ipairs({q_interactive, q_bulk}) do
  local last = redis.call('LINDEX', queue, -1)
  local number = last and tonumber(string.match(last, '^{"sequence":%s*(%d+)') or 0)
    or (tonumber(redis.call('HGET', k_sequence, queue)) or 0) + 1
  local before = tonumber(redis.call('HGET', k_reconciler, queue)) or 0
  redis.call('HSET', k_reconciler, queue, string.format('%.0f', number))
  local below = string.format('(%.0f', math.min(number, before))
  local missing = redis.call('ZRANGEBYSCORE', k_queued .. queue, '-inf', below, 'LIMIT', 0, MOST)
  for i = #missing, 1, -1 do -- the oldest is pushed last, and so is popped first
    local id = missing[i]
    local batch = redis.pcall('HMGET', k_batch .. id, f_state, f_schema, f_sequence, f_message)
    if batch.err then -- no record of ours; the others are still to be looked at
    elseif batch[1] ~= s_queued or batch[2] ~= SCHEMA then
      redis.call('ZREM', k_queued .. queue, id)
    elseif not string.find(noted, '"' .. id .. '"', 1, true) then
      publish_next(queue, batch[4], batch[3])
      n_published = n_published + 1
    end
  end
end

local reply = {n_published, n_requeued}
for _, id in ipairs(redis.call('SRANDMEMBER', k_exhausted, 10)) do
  reply[#reply + 1] = id
end
return reply
