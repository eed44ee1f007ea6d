-- Record a bulk prediction whose rows are in the object store, and hand out its first slices.
--
-- ARGV[1]  its id
-- ARGV[2]  its member
-- ARGV[3]  its owner, in hexadecimal
-- ARGV[4]  its source, packed
-- ARGV[5]  number of rows
-- ARGV[6]  rows of a record batch
-- ARGV[7]  the smallest slice, in rows
-- ARGV[8]  the largest slice, in rows
-- ARGV[9]  the model's reference, as JSON
-- ARGV[10] the reply channel
-- ARGV[11] the template of its slices' messages
-- ARGV[12] its origin, or ''
-- ARGV[13] bytes of space for its rows and results
-- ARGV[14] seconds to keep it once it is final
-- ARGV[15] microseconds since 1970 after which it is refused
-- ARGV[16…] two for each idempotency key: its name, its value
--
-- Reply: 1 accepted, 0 the reservation of its upload has expired, -1 too late.
-- Keeps: a recorded prediction has space, which the sweeper does not release; a second run changes nothing.

local id, member, owner, source, n_rows, batch_rows, min_rows, max_rows, model, reply, template, origin, n_bytes, ttl,
  latest = unpack(ARGV)
if redis.call('EXISTS', k_batch .. id) == 1 then
  return 1
end
local created = time_us()
if tonumber(created) > tonumber(latest) then
  return -1
end
if redis.call('ZREM', k_uploads, id) == 0 then
  return 0
end
local held = string.match(redis.call('HGET', k_stored, id), '%d+')
redis.call('HSET', k_stored, id, n_bytes .. ' ' .. owner)
redis.call('INCRBY', k_stored_bytes, string.format('%.0f', n_bytes - held))

local names = {}
for i = 16, #ARGV, 2 do
  redis.call('SET', ARGV[i], ARGV[i + 1])
  names[#names + 1] = ARGV[i]
end
redis.call('HSET', k_batch .. id, f_schema, SCHEMA_NUMBER, f_state, s_queued, f_queue, q_bulk, f_created, created,
  f_members, member, f_owner, owner, f_source, source, f_n_rows, n_rows, f_batch_rows, batch_rows,
  f_min_slice_rows, min_rows, f_max_slice_rows, max_rows, f_model, model, f_reply, reply, f_message, template,
  f_origins, origin, f_ttl, ttl, f_idempotency, table.concat(names, ' '),
  f_next_row, 0, f_rows_done, 0, f_rows_bad, 0, f_predict_us, 0, f_slices, 0, f_event, 1)
redis.call('HINCRBY', k_backlog, c_accepted .. STORED_ROWS, n_rows)
redis.call('ZADD', k_bulk_open, next_score(k_bulk_open), id)
redis.call('ZADD', k_owner .. owner, next_score(k_owner .. owner), id)
redis.call('ZADD', k_sweep, time_s() + SWEEP_SECONDS, id)
if n_rows == '0' then
  end_bulk(id, s_succeeded, '')
  return 1
end
if redis.call('RPUSH', k_uncut .. owner, id) == 1 then
  redis.call('RPUSH', k_owners, owner)
end
hand_out()
return 1
