-- Announce a worker: its model, the number of its loaded pool processes, and its queues.
--
-- ARGV[1]  the worker's name
-- ARGV[2]  number of loaded pool processes
-- ARGV[3]  milliseconds for which the announcement is valid
-- ARGV[4]  the model card, as JSON; '' while no pool process is loaded
-- ARGV[5]  1 until the worker has announced its card, then 0
-- ARGV[6]  the queues that it consumes, separated by commas
--
-- Reply: {number of messages in these queues, then for each lease of the worker: the batch's id, the pool process, 1 if
--        the outcome is needed, else 0}.
-- Keeps: new predictions are validated against the model card that was announced last.

local worker, card = ARGV[1], ARGV[4]
local now = redis.call('TIME')
local until_ms = now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[3]
redis.call('HSET', k_workers, worker, string.format('%.0f %s %s', until_ms, ARGV[2], ARGV[6]))
if card ~= '' then
  redis.call('DEL', k_load_failure)
  if ARGV[5] == '1' then
    redis.call('SET', k_model, card)
  else
    redis.call('SET', k_model, card, 'NX') -- the store may have lost it
  end
end

local reply = {0}
for queue in string.gmatch(ARGV[6], '[^,]+') do
  reply[1] = reply[1] + redis.call('LLEN', queue)
end
local leases = redis.call('HGETALL', k_leases .. worker)
for i = 1, #leases, 2 do
  local id = leases[i]
  local is_wanted = redis.call('HGET', k_batch .. id, f_state) == s_running
    and is_open(redis.call('HGET', k_batch .. (parent_and_index(id) or id), f_state))
  reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = id, leases[i + 1], is_wanted and 1 or 0
end
return reply
