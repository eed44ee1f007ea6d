-- Read a dead letter.
--
-- ARGV[1]  its id
--
-- Reply: nil, or {prediction, encoding, rows, number of rows, model, how its attempts ended, when the rows were
--        accepted (microseconds since 1970), when it became a dead letter (seconds since 1970), origins}.

local letter = redis.call('HMGET', k_dead_letter .. ARGV[1], f_schema, f_prediction, f_encoding, f_rows, f_n_rows,
  f_model, f_lost, f_created, f_dead_lettered, f_origins)
local schema = table.remove(letter, 1)
if schema ~= SCHEMA_NUMBER and redis.call('EXISTS', k_dead_letter .. ARGV[1]) == 1 then
  error({err = 'SCHEMA ' .. (schema or 'none')})
end
return schema and letter
