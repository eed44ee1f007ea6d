-- Start an attempt at a batch.
--
-- KEYS[1]  the batch record
-- KEYS[2]  the head record over it, or the batch record itself
-- ARGV[1]  the attempt's own name: asking again by the same name is the same attempt
-- ARGV[2]  the batch's id
-- ARGV[3]  the worker
-- ARGV[4]  its pool process
-- ARGV[5]  seconds to keep a final record
--
-- Reply: nil when there is nothing to do, else
--        {token, created, now, rows, members, model, queue, origins}, the times in microseconds since 1970.
-- Keeps: every attempt has a token of its own, its number; only the latest one can commit. A batch that is running is
--        left to its worker, whose lease lasts as long as the worker lives. A client that lost the reply and asks
--        again gets the same token: a broker that hangs must not use the attempts up.

local batch = redis.call('HMGET', KEYS[1], 'state', 'token', 'claimant', 'created', 'rows', 'members', 'model', 'queue',
  'origins')
local again = batch[1] == 'running' and batch[3] == ARGV[1]
if batch[1] ~= 'queued' and not again then
  return false
end
redis.call('ZREM', QUEUED .. batch[8], ARGV[2])
local spanned = KEYS[2] ~= KEYS[1]
local head = spanned and redis.call('HGET', KEYS[2], 'state')
if spanned and not open(head) then
  redis.call('DEL', KEYS[1])
  return false
end

local number = spanned and string.match(ARGV[2], '[^.]*$')
if head == 'split' and redis.call('HEXISTS', KEYS[2], 'canceled:' .. number) == 1 then
  local ended = redis.call('HMGET', KEYS[1], 'n_rows', 'reply', 'queue', 'idempotency')
  settle(KEYS[1], KEYS[2], ended, {
    outcome = '', ttl = ARGV[5], stem = string.match(ARGV[2], '^[^.]*'), number = number, predict_us = 0,
  })
  return false
end

local now = time_us()
local token = tonumber(batch[2]) or 0
if not again then
  token = token + 1
  redis.call('HSET', KEYS[1], 'token', token, 'state', 'running', 'claimant', ARGV[1], 'worker', ARGV[3], 'pid', ARGV[4],
    'claimed', now)
  redis.call('HSET', LEASES .. ARGV[3], ARGV[2], ARGV[4])
  redis.call('HSETNX', WORKERS, ARGV[3], '0 0') -- one that was thought dead: so that its leases are found
end
if spanned and head ~= 'split' then
  redis.call('HSET', KEYS[2], 'state', 'running')
  redis.call('HSETNX', KEYS[2], 'started', now)
end
return {token, batch[4], now, batch[5], batch[6], batch[7], batch[8], batch[9]}
