-- The load, for wrk: sends an exact number of hits, then parks its connections.
--   wrk -t1 -cCONNECTIONS -d1h -s load.lua URL -- FOLDER SEED HITS CONNECTIONS RATE
-- RATE 0: each connection sends its next hit as soon as the last one is answered. Else so many a second are due,
-- evenly spaced, and are sent when they are due whether or not earlier ones are answered, as long as a connection is
-- free; when each was answered is then written to FOLDER/answered, doubles of the monotonic clock in seconds.
-- FOLDER holds the files that traffic.py wrote. Prints "begun" at the first hit and "answered LATE" when each hit
-- has its answer; bench/load.py then sends SIGINT, and done() reports. One thread only: counts are the thread's own.

local ffi = require("ffi")
ffi.cdef [[
    struct bench_time { long seconds; long nanoseconds; };
    int clock_gettime(int clock, struct bench_time *time);
]]
local CLOCK_MONOTONIC = 1
local time = ffi.new("struct bench_time")

local addresses, agents, targets, headers = {}, {}, {}, ""
local folder, hits, connections, rate = "", 0, 0, 0
local granted, sent, parked, answered = 0, 0, 0, 0
local begun_at, times, late_us = 0, nil, {}
local random, format = math.random, string.format
local PARKED_MS = 3600 * 1000

local function now()
    ffi.C.clock_gettime(CLOCK_MONOTONIC, time)
    return tonumber(time.seconds) + tonumber(time.nanoseconds) / 1e9
end

local function lines(path)
    local all = {}
    for line in io.lines(path) do all[#all + 1] = line end
    return all
end

local function say(text)
    io.stdout:write(text, "\n")
    io.stdout:flush()
end

local function on_response(status)
    if status < 400 and answered < hits then
        times[answered] = now()
        answered = answered + 1
    end
end

function init(args)
    folder = args[1]
    hits, connections, rate = tonumber(args[3]), tonumber(args[4]), tonumber(args[5])
    math.randomseed(tonumber(args[2]))
    addresses, targets = lines(folder .. "/addresses"), lines(folder .. "/targets")
    local file = io.open(folder .. "/headers", "rb")
    headers = file:read("*a")
    file:close()
    local host = wrk.host .. ":" .. wrk.port
    for number, agent in ipairs(lines(folder .. "/agents")) do
        agents[number] = " HTTP/1.1\r\nHost: " .. host .. "\r\nUser-Agent: " .. agent .. "\r\n" .. headers
            .. "X-Forwarded-For: "
    end
    if rate > 0 then
        times = ffi.new("double[?]", hits)
        response = on_response  -- wrk reads headers only where there is this function: not when saturated
    end
end

-- How much later than due hits were sent, in microseconds (p99).
local function late_p99_us()
    table.sort(late_us)
    return late_us[math.ceil(#late_us * 0.99)] or 0
end

local function finish()
    if times then
        local file = io.open(folder .. "/answered", "wb")
        file:write(ffi.string(times, answered * 8))
        file:close()
    end
    say(format("answered %d", late_p99_us()))
end

-- wrk asks before each request of a connection how long to wait, in whole milliseconds.
function delay()
    if granted == 0 then
        begun_at = now()
        say("begun")
    end
    if granted < hits then
        granted = granted + 1
        if rate == 0 then return 0 end
        return math.max(0, math.floor((begun_at + granted / rate - now()) * 1000 + 0.5))
    end
    parked = parked + 1
    if parked == connections then finish() end
    return PARKED_MS
end

function request()
    if rate > 0 and granted > 0 then
        sent = sent + 1
        late_us[sent] = (now() - begun_at - sent / rate) * 1e6
    end
    local number = random(#addresses)
    local id = format("%08x-%04x-4%03x-%04x-%08x%04x", random(0, 0xffffffff), random(0, 0xffff), random(0, 0xfff),
        random(0x8000, 0xbfff), random(0, 0xffffffff), random(0, 0xffff))
    return "GET " .. wrk.path .. "?id=" .. id .. targets[random(#targets)] .. agents[(number - 1) % #agents + 1]
        .. addresses[number] .. "\r\n\r\n"
end

-- In a state of its own: what a thread has gathered is not here.
function done(summary, latency)
    local errors = summary.errors
    say(format("report %d %d %d %d %d %d", summary.requests, errors.status,
        errors.connect + errors.read + errors.write, latency:percentile(50), latency:percentile(99), latency.max))
end
