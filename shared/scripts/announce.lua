-- Say that a worker lives, what it serves, and how many of its pool processes hold the model.
--
-- KEYS[1]  the workers
-- KEYS[2]  the current model card
-- ARGV[1]  the worker's name
-- ARGV[2]  pool processes that can take a batch
-- ARGV[3]  milliseconds for which this is to be believed
-- ARGV[4]  the card, as JSON; '' while no pool process has loaded the model
-- ARGV[5]  1 until a worker has announced its card, then 0
--
-- Reply: nothing.
-- Keeps: the worker that loaded its model last decides which model new predictions are validated against.

local now = redis.call('TIME')
local until_ms = now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[3]
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %s', until_ms, ARGV[2]))
if ARGV[4] ~= '' then
  if ARGV[5] == '1' then
    redis.call('SET', KEYS[2], ARGV[4])
  else
    redis.call('SET', KEYS[2], ARGV[4], 'NX') -- should the store have lost it
  end
end
return 0
