-- Record the batches of a submission and publish their messages, all or none.
--
-- ARGV[1]  the queue
-- ARGV[2]  the id of the record whose id the client gets: the only batch, or the parent of all batches
-- ARGV[3]  the largest backlog allowed in this queue, in rows
-- ARGV[4]  number of rows in this submission
-- ARGV[5]  the parent's only member, or '' if there is no parent
-- ARGV[6]  the model's reference, as JSON
-- ARGV[7]  the reply channel
-- ARGV[8]  microseconds since 1970 after which the submission is refused
-- ARGV[9]  the encoding of its rows
-- ARGV[10] number of idempotency keys
-- ARGV[11…] two for each idempotency key: its name, its value
-- ARGV[…]  six for each batch: its id, rows, number of rows, members, message, origins of its members or ''
--
-- Reply: 1 accepted, 0 refused because of the backlog, -1 too late.
-- Keeps: every recorded batch is published, every published batch is recorded; a second run changes nothing.

local queue, id, n_rows, parents_member, model, reply = ARGV[1], ARGV[2], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
if redis.call('EXISTS', k_batch .. id) == 1 then
  return 1
end
local created = time_us()
if tonumber(created) > tonumber(ARGV[8]) then
  return -1
end
local counts = redis.call('HMGET', k_backlog, c_accepted .. queue, c_final .. queue)
if (tonumber(counts[1]) or 0) - (tonumber(counts[2]) or 0) + n_rows > tonumber(ARGV[3]) then
  return 0
end

local arg, names = 11, {}
for _ = 1, tonumber(ARGV[10]) do
  redis.call('SET', ARGV[arg], ARGV[arg + 1])
  names[#names + 1] = ARGV[arg]
  arg = arg + 2
end
if parents_member ~= '' then
  redis.call('HSET', k_batch .. id, f_schema, SCHEMA_NUMBER, f_state, s_queued, f_created, created, f_members, parents_member,
    f_n_rows, n_rows, f_rows_done, 0, f_children, (#ARGV - arg + 1) / 6, f_predict_us, 0, f_model, model,
    f_reply, reply, f_queue, queue)
end
for first = arg, #ARGV, 6 do
  local batch, message, origins = ARGV[first], ARGV[first + 4], ARGV[first + 5]
  local sequence = redis.call('HINCRBY', k_sequence, queue, 1)
  redis.call('HSET', k_batch .. batch, f_schema, SCHEMA_NUMBER, f_state, s_queued, f_created, created, f_encoding, ARGV[9],
    f_rows, ARGV[first + 1], f_n_rows, ARGV[first + 2], f_members, ARGV[first + 3], f_model, model, f_reply, reply,
    f_queue, queue, f_sequence, sequence, f_message, message)
  if origins ~= '' then
    redis.call('HSET', k_batch .. batch, f_origins, origins)
  end
  redis.call('ZADD', k_queued .. queue, sequence, batch)
  redis.call('LPUSH', queue, with_sequence(message, sequence))
end
redis.call('HINCRBY', k_backlog, c_accepted .. queue, n_rows)
if #names > 0 then
  redis.call('HSET', k_batch .. id, f_idempotency, table.concat(names, ' '))
end
return 1
