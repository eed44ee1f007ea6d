-- Read the cluster status; each gateway does this every second.
--
-- Reply: {now, card, names and announcements of workers, number of gateways, number of dead letters, INFO memory, why a
--        worker could not load its model, {rows of bulk predictions accepted, final, bytes of space in the object
--        store, number of open ones, when the oldest of them was accepted}, and for each queue: {rows accepted, rows
--        final, when the oldest unclaimed batch was accepted}}. Times are in microseconds since 1970.

-- Return when a batch was accepted; false if its record is missing or invalid.
local function time_of_acceptance(id)
  local created = id and redis.pcall('HGET', k_batch .. id, f_created)
  return type(created) == 'string' and created
end

local reply = {time_us(), redis.call('GET', k_model), redis.call('HGETALL', k_workers),
  #redis.call('PUBSUB', 'CHANNELS', k_reply .. '*'), redis.call('ZCARD', k_dead_letters),
  redis.call('INFO', 'memory'), redis.call('GET', k_load_failure)}
local stored = redis.call('HMGET', k_backlog, c_accepted .. STORED_ROWS, c_final .. STORED_ROWS)
stored[3], stored[4] = redis.call('GET', k_stored_bytes), redis.call('ZCARD', k_bulk_open)
stored[5] = time_of_acceptance(redis.call('ZRANGE', k_bulk_open, 0, 0)[1])
reply[#reply + 1] = stored
for _, queue in ipairs({q_interactive, q_bulk}) do
  local counts = redis.call('HMGET', k_backlog, c_accepted .. queue, c_final .. queue)
  reply[#reply + 1] = {counts[1], counts[2], time_of_acceptance(redis.call('ZRANGE', k_queued .. queue, 0, 0)[1])}
end
return reply
