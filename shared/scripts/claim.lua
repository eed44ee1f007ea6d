-- Start an attempt at a batch.
--
-- KEYS[1]  the batch record
-- KEYS[2]  the head record over it, or the batch record itself
--
-- Reply: nil when there is nothing left to do, else
--        {token, created, now, rows, members, model}, the times in microseconds since 1970.
-- Keeps: every claim has a token of its own, the number of the attempt; only the latest one can commit.

local function open(key)
  local state = redis.call('HGET', key, 'state')
  return state == 'queued' or state == 'running'
end

if not open(KEYS[1]) then
  return false
end
if not open(KEYS[2]) then
  redis.call('DEL', KEYS[1])
  return false
end

local now = redis.call('TIME')
now = now[1] .. string.format('%06d', now[2])
local token = redis.call('HINCRBY', KEYS[1], 'token', 1)
redis.call('HSET', KEYS[1], 'state', 'running')
if KEYS[2] ~= KEYS[1] then
  redis.call('HSET', KEYS[2], 'state', 'running')
  redis.call('HSETNX', KEYS[2], 'started', now)
end
local fields = redis.call('HMGET', KEYS[1], 'created', 'rows', 'members', 'model')
return {token, fields[1], now, fields[2], fields[3], fields[4]}
