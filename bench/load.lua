-- The load, for wrk: sends an exact number of hits as fast as they are answered, then parks its connections.
--   wrk -t1 -cCONNECTIONS -d1h -s load.lua URL -- FOLDER SEED HITS CONNECTIONS
-- FOLDER holds the files that traffic.py wrote. Prints "begun" at the first hit and "answered" when each hit has
-- its answer; bench/load.py then sends SIGINT, and done() reports. One thread only: counts are the thread's own.

local addresses, agents, targets, headers = {}, {}, {}, ""
local hits, connections, granted, parked = 0, 0, 0, 0
local random, format = math.random, string.format
local PARKED_MS = 3600 * 1000

local function lines(path)
    local all = {}
    for line in io.lines(path) do all[#all + 1] = line end
    return all
end

local function say(text)
    io.stdout:write(text, "\n")
    io.stdout:flush()
end

function init(args)
    local folder, seed = args[1], tonumber(args[2])
    hits, connections = tonumber(args[3]), tonumber(args[4])
    math.randomseed(seed)
    addresses, targets = lines(folder .. "/addresses"), lines(folder .. "/targets")
    local file = io.open(folder .. "/headers", "rb")
    headers = file:read("*a")
    file:close()
    local host = wrk.host .. ":" .. wrk.port
    for number, agent in ipairs(lines(folder .. "/agents")) do
        agents[number] = " HTTP/1.1\r\nHost: " .. host .. "\r\nUser-Agent: " .. agent .. "\r\n" .. headers
            .. "X-Forwarded-For: "
    end
end

-- wrk asks before each request of a connection how long to wait.
function delay()
    if granted == 0 then say("begun") end
    if granted < hits then
        granted = granted + 1
        return 0
    end
    parked = parked + 1
    if parked == connections then say("answered") end
    return PARKED_MS
end

function request()
    local number = random(#addresses)
    local id = format("%08x-%04x-4%03x-%04x-%08x%04x", random(0, 0xffffffff), random(0, 0xffff), random(0, 0xfff),
        random(0x8000, 0xbfff), random(0, 0xffffffff), random(0, 0xffff))
    return "GET " .. wrk.path .. "?id=" .. id .. targets[random(#targets)] .. agents[(number - 1) % #agents + 1]
        .. addresses[number] .. "\r\n\r\n"
end

function done(summary, latency)
    local errors = summary.errors
    say(format("report %d %d %d %d", summary.requests, errors.status,
        errors.connect + errors.read + errors.write, latency:percentile(99)))
end
