-- Start an attempt at a batch.
--
-- KEYS[1]  the batch record
-- KEYS[2]  the head record over it, or the batch record itself
-- ARGV[1]  the attempt's own name: asking again by the same name is the same attempt
--
-- Reply: nil when there is nothing left to do, else
--        {token, created, now, rows, members, model}, the times in microseconds since 1970.
-- Keeps: every attempt has a token of its own, its number; only the latest one can commit. A client that lost the
--        reply and asks again gets the same token: a broker that hangs must not use the attempts up.

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
local token = redis.call('HGET', KEYS[1], 'token')
if redis.call('HGET', KEYS[1], 'claimant') ~= ARGV[1] then
  token = redis.call('HINCRBY', KEYS[1], 'token', 1)
  redis.call('HSET', KEYS[1], 'state', 'running', 'claimant', ARGV[1])
end
if KEYS[2] ~= KEYS[1] then
  redis.call('HSET', KEYS[2], 'state', 'running')
  redis.call('HSETNX', KEYS[2], 'started', now)
end
local fields = redis.call('HMGET', KEYS[1], 'created', 'rows', 'members', 'model')
return {tonumber(token), fields[1], now, fields[2], fields[3], fields[4]}
