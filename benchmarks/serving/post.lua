-- The requests that wrk sends in turn, and its report: one line of JSON after wrk's text.
--
-- BENCH_BODIES  a file with one request body per line
--
-- The requests are built once, and there is no `response` function, so that responses cost the load generator no Lua
-- call.

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

local requests, count, last = {}, 0, 0

function init(_)
  for body in io.lines(os.getenv("BENCH_BODIES")) do
    count = count + 1
    requests[count] = wrk.format(nil, nil, nil, body)
  end
end

function request()
  last = last % count + 1
  return requests[last]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p95_ms": %.3f, "p99_ms": %.3f, ' ..
    '"errors": {"connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3,
    errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
