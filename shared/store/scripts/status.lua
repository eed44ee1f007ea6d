-- Look at the whole: what gateways ask every second.
--
-- Reply: {now, card, names and announcements of workers, gateways, dead letters, INFO of the memory, why a worker could
--        not load its model, and for each queue: {rows accepted, rows final, when its oldest batch was accepted that no
--        worker has claimed}}. Times are in microseconds since 1970.

local reply = {time_us(), redis.call('GET', k_model), redis.call('HGETALL', k_workers),
  #redis.call('PUBSUB', 'CHANNELS', k_reply .. '*'), redis.call('ZCARD', k_dead_letters),
  redis.call('INFO', 'memory'), redis.call('GET', k_load_failure)}
for _, queue in ipairs({q_interactive, q_bulk}) do
  local counted = redis.call('HMGET', k_backlog, c_accepted .. queue, c_final .. queue)
  local oldest = redis.call('ZRANGE', k_queued .. queue, 0, 0)[1]
  local created = oldest and redis.pcall('HGET', k_batch .. oldest, f_created)
  reply[#reply + 1] = {counted[1], counted[2], type(created) == 'string' and created}
end
return reply
