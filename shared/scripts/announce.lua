-- Say that a worker lives, what it serves, and how many of its pool processes hold the model.
--
-- KEYS[1]  the current model card
-- KEYS[2…] the broker's queues
-- ARGV[1]  the worker's name
-- ARGV[2]  pool processes that can take a batch
-- ARGV[3]  milliseconds for which this is to be believed
-- ARGV[4]  the card, as JSON; '' while no pool process has loaded the model
-- ARGV[5]  1 until a worker has announced its card, then 0
--
-- Reply: {messages that wait, then for each batch that the worker has a lease on: its id, its pool process, 1 if its
--        outcome is wanted, else 0}.
-- Keeps: the worker that loaded its model last decides which model new predictions are validated against.

local now = redis.call('TIME')
local until_ms = now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[3]
redis.call('HSET', WORKERS, ARGV[1], string.format('%.0f %s', until_ms, ARGV[2]))
if ARGV[4] ~= '' then
  if ARGV[5] == '1' then
    redis.call('SET', KEYS[1], ARGV[4])
  else
    redis.call('SET', KEYS[1], ARGV[4], 'NX') -- should the store have lost it
  end
end

local reply = {0}
for i = 2, #KEYS do
  reply[1] = reply[1] + redis.call('LLEN', KEYS[i])
end
local leases = redis.call('HGETALL', LEASES .. ARGV[1])
for i = 1, #leases, 2 do
  local id = leases[i]
  local head = string.match(id, '^(.*)%.') or id
  local wanted = redis.call('HGET', BATCH .. id, 'state') == 'running' and open(redis.call('HGET', BATCH .. head, 'state'))
  reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = id, leases[i + 1], wanted and 1 or 0
end
return reply
