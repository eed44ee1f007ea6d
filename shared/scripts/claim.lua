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

local function open(state)
  return state == 'queued' or state == 'running'
end

local batch = redis.call('HMGET', KEYS[1], 'state', 'token', 'claimant', 'created', 'rows', 'members', 'model')
if not open(batch[1]) then
  return false
end
local spanned = KEYS[2] ~= KEYS[1]
if spanned and not open(redis.call('HGET', KEYS[2], 'state')) then
  redis.call('DEL', KEYS[1])
  return false
end

local now = redis.call('TIME')
now = now[1] .. string.format('%06d', now[2])
local token = tonumber(batch[2]) or 0
if batch[3] ~= ARGV[1] then
  token = token + 1
  redis.call('HSET', KEYS[1], 'token', token, 'state', 'running', 'claimant', ARGV[1])
end
if spanned then
  redis.call('HSET', KEYS[2], 'state', 'running')
  redis.call('HSETNX', KEYS[2], 'started', now)
end
return {token, batch[4], now, batch[5], batch[6], batch[7]}
