-- The mix: half new fingerprints, half resends over 10,000 that fire already, of which one in fifty is an end
-- (1 % of all). What ends is among a tenth of the 10,000, and fires again with the next resend of it.
-- wrk ... -- NUMBER ALERTS TOKEN: which storm it is, how many alerts a POST has, the source's token.

local POOL = 10000
local ENDING = POOL / 10
local STORM = 86400
local JOBS = 50
local fresh = 0
local generations = {}
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
  local ends = math.random() < 0.02
  local number = math.random(ends and ENDING or POOL)
  local instance = "pool-" .. number
  local began = 0
  if number <= ENDING then
    began = storm * STORM + (generations[number] or 0) * 60
  end
  if ends then
    generations[number] = (generations[number] or 0) + 1
    return string.format(ALERT, "resolved", number % JOBS, instance, time(began), time(began + 30))
  end
  return string.format(ALERT, "firing", number % JOBS, instance, time(began), OPEN)
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
