-- The mix: half new fingerprints, half resends over 10,000 that fire already, of which one in fifty is an end
-- (1 % of all). What ends is among a tenth of the 10,000; as many of the resends are of what has ended, and fires
-- again. All other resends say what was said before, as those of an Alertmanager do.
-- wrk ... -- NUMBER ALERTS TOKEN: which storm it is, how many alerts a POST has, the source's token.

local POOL = 10000
local ENDING = POOL / 10
local STORM = 86400
local JOBS = 50
local fresh = 0
local generations, ended = {}, {}
local storm, alerts

local ALERT = '{"status":"%s","labels":{"alertname":"Intake","job":"job-%d","instance":"%s","severity":"warning",'
  .. '"cluster":"bench","namespace":"default"},"annotations":{"summary":"a benchmark\'s alert",'
  .. '"description":"one of very many, as long as most descriptions are"},"startsAt":"%s","endsAt":"%s",'
  .. '"generatorURL":"http://prometheus:9090/graph?g0.expr=up"}'
local BODY = '{"version":"4","groupKey":"{}:{alertname=\\"Intake\\"}","truncatedAlerts":0,"status":"firing",'
  .. '"receiver":"responder","groupLabels":{"alertname":"Intake"},"commonLabels":{"alertname":"Intake"},'
  .. '"commonAnnotations":{},"externalURL":"http://alertmanager:9093","alerts":[%s]}'
local OPEN = "0001-01-01T00:00:00Z"

local function time(seconds)
  return os.date("!%Y-%m-%dT%H:%M:%SZ", 1767225600 + seconds)
end

local function one()
  if math.random() < 0.5 then
    fresh = fresh + 1
    return string.format(ALERT, "firing", fresh % JOBS, "fresh-" .. storm .. "-" .. fresh, time(0), OPEN)
  end
  local kind = math.random()
  if kind < 0.02 then
    local number = math.random(ENDING)
    local generation = generations[number] or 0
    generations[number] = generation + 1
    ended[#ended + 1] = number
    local began = storm * STORM + generation * 60
    return string.format(ALERT, "resolved", number % JOBS, "pool-" .. number, time(began), time(began + 30))
  end
  if kind < 0.04 and #ended > 0 then
    local number = table.remove(ended)
    local began = storm * STORM + generations[number] * 60
    return string.format(ALERT, "firing", number % JOBS, "pool-" .. number, time(began), OPEN)
  end
  local number = math.random(ENDING + 1, POOL)
  return string.format(ALERT, "firing", number % JOBS, "pool-" .. number, time(0), OPEN)
end

function init(args)
  storm, alerts = tonumber(args[1]), tonumber(args[2])
  math.randomseed(7 + storm)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Authorization"] = "Bearer " .. args[3]
end

function request()
  local parts = {}
  for n = 1, alerts do
    parts[n] = one()
  end
  return wrk.format(nil, nil, nil, string.format(BODY, table.concat(parts, ",")))
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('figures {"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
