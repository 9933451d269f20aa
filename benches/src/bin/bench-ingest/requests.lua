-- Rotates through prepared requests; prints one line for the benchmark.
local requests = {}
local at = 0

function init()
  local headers = { ["Authorization"] = "Bearer {key}", ["Content-Type"] = "{content_type}" }
  local file = assert(io.open("{bodies}", "rb"))
  while true do
    local length = file:read("*l")
    if not length then break end
    requests[#requests + 1] = wrk.format("POST", nil, headers, file:read(tonumber(length)))
  end
  file:close()
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("result %d %d %d %d %d\n", summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
