"""The Lua script: the rules of `policy`, run inside Redis on Redis time.

The script computes exactly what `policy` and `sliding_window` compute (a state machine in the tests compares them).
It adds the rules that several processes need:

1. Time is the clock of Redis (``TIME``), never a client's. If it goes back by more than a second, the state is lost
   (rule 4).
2. An occupied slot expires a lease plus a window after it was taken, because a killed process cannot report.
3. A single call that has to wait holds back the bulk work of all processes until the single call has asked again.
4. The state has an epoch. A process may know another epoch, or more permits than the state has (Redis came back
   empty, or with old data). It then receives the reply "lost", and joins again with the slots that it remembers. A
   new state admits nothing for 1.25 s, so that every process that waits or ends a request in that time can join: the
   process that created the state cannot know what the others sent. The slots of a process that joins later count
   from then on. The state is also lost if the number of slots differs from the number in it (Redis evicted one of
   the two keys), or if a key holds other data. Both keys have the same expiry, so that neither is evicted earlier.
5. Each report may arrive twice: a slot has a name, and the second report overwrites the first.

The slots do not contain the limit, so a change of tier keeps the history. One call of the script reports the ended
requests, gives back unused permits, and asks for one permit for each waiter. It takes one argument and returns one
string, because redis-py takes a microsecond for each part of a command and of a reply.
"""

from __future__ import annotations

from typing import Final

READ_TIME: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
"""

RULES: Final = """
local STATE, SLOTS = KEYS[1], KEYS[2]
local ask = cjson.decode(ARGV[1])
local LENGTH, LEASE, EXPECTED, HIGHEST, MAX_PAUSE = ask.length, ask.lease, ask.expected, ask.highest, ask.max_pause
local KNOWN_EPOCH, KNOWN_NUMBER = ask.epoch, ask.number
local PREFIX, FIRST, SINGLES, BULK = ask.prefix, ask.first, ask.singles, ask.bulk
local POLL, GRACE, CALM, KEPT = 1.05, 1.25, 10, 86400000
local ANSWERED, ABANDONED = LENGTH * (1 + 0.25 / 60), LENGTH * (1 + 0.25 / 60 + 5 / 60)
local FULL, SPACED, PAUSED, PROBING, BEHIND, LOST = 1, 2, 3, 4, 5, 6
local INF, min, max = math.huge, math.min, math.max

local function exact(number) return string.format('%.17g', number) end

local function reply(...) return table.concat({...}, ' ') end

local function begin()
  return {epoch = exact(now), number = 1, limit = 60, told = false, rising = 0, held_up = false, bursting = true,
    idle_from = -INF, closed = false, closed_until = -INF, closed_after = 0, refusals = 0, probe = '',
    probe_until = -INF, due = -INF, share = 1, slowed_at = -INF, spaced_until = -INF, single_until = -INF,
    opens = now + GRACE, last = now, slots = 0}
end

local function try(command, key)  -- nil if the key holds a value of another type
  local found = redis.pcall(command, key)
  if type(found) ~= 'table' then return found end
  if not string.find(found.err, 'WRONGTYPE', 1, true) then return redis.call(command, key) end
end

local function is_state(s, fresh)
  for name, value in pairs(fresh) do
    if type(s[name]) ~= type(value) then return false end
  end
  return s.limit <= HIGHEST
end

local function read(fresh)  -- the state, and whether something else was in its place
  local packed = try('GET', STATE)
  if packed == false then return fresh, false end
  local is_packed, s = pcall(cmsgpack.unpack, packed)
  if is_packed and type(s) == 'table' and is_state(s, fresh) then return s, false end
  return fresh, true
end

local fresh = begin()
local s, is_foreign = read(fresh)
local count = try('ZCARD', SLOTS)
is_foreign = is_foreign or not count
local is_old = now < s.last - 1 or (KNOWN_EPOCH == s.epoch and KNOWN_NUMBER > s.number)
if is_old or is_foreign or (s ~= fresh and count ~= s.slots) then
  redis.call('DEL', SLOTS)
  s = fresh
end
now = max(now, s.last)
s.last = now

local function save()
  local last = redis.call('ZRANGE', SLOTS, -1, -1, 'WITHSCORES')[2]  -- another process may have a longer lease
  local kept = last and max(KEPT, math.ceil((tonumber(last) - now) * 1000) + 1000) or KEPT
  s.slots = redis.call('ZCARD', SLOTS)
  redis.call('SET', STATE, cmsgpack.pack(s), 'PX', kept)
  redis.call('PEXPIRE', SLOTS, kept)
end

local FOREIGN = is_foreign and 1 or 0

if KNOWN_EPOCH ~= '' and KNOWN_EPOCH ~= s.epoch then
  save()
  return reply(1, s.epoch, 0, s.limit, 0, 0, 0, LOST, 0, FOREIGN)
end

local function occupy(name, ends) redis.call('ZADD', SLOTS, exact(ends), name) end

local function leaving()
  local first = redis.call('ZRANGE', SLOTS, 0, 0, 'WITHSCORES')
  return first[2] and tonumber(first[2]) or INF
end

-- Shape.

local function share()
  if s.share == 1 then return 1 end
  return min(1, s.share + 0.05 * (now - s.slowed_at) / LENGTH)
end

local function spacing() return LENGTH / (0.98 * s.limit * share()) end

local function is_shaped() return now < s.spaced_until end

local function spend()
  local between, catch_up = spacing(), max(0.25, 0.01 * s.limit - 0.35)
  s.due = max(s.due, now - catch_up * between) + between
end

-- Outcomes.

local function follow(limit)
  if limit == 0 then return end
  s.told = true
  local seen = s.rising
  s.rising = limit > s.limit and limit or 0
  if limit < s.limit or (limit > s.limit and limit == seen) then
    s.limit, s.rising = limit, 0
    s.due = min(s.due, now + spacing())
  end
end

local function pause(after)
  local shortest = LENGTH * (1 / 60)
  if after then return min(max(after, shortest), MAX_PAUSE) end
  local most = LENGTH * (61 / 60)
  local least = min(shortest * 2 ^ min(s.refusals - 1, 10), most)
  local left = leaving() - now
  return left < INF and min(max(least, left), most) or least
end

local function refuse(number, after)
  if number > s.closed_after then
    s.refusals = s.refusals + 1
    s.closed, s.closed_after, s.held_up = true, s.number, true
    if now < s.slowed_at + 10 * LENGTH then s.spaced_until = now + 10 * LENGTH end
    s.share, s.slowed_at = max(0.1, share() * 0.8), now
  elseif not s.closed or not after then
    return 0
  end
  local ends = now + pause(after)
  if ends <= s.closed_until then return 0 end
  s.closed_until = ends
  return ends - now
end

local function settle(name, number, status, after, limit)
  local was_probe = name == s.probe
  if was_probe then s.probe = '' end
  if status == 0 then
    occupy(name, now + ABANDONED)
    return 0
  end
  occupy(name, now + ANSWERED)
  follow(limit)
  if status == 429 then return refuse(number == 0 and s.number or number, after) end
  if was_probe then s.closed, s.refusals = false, 0 end
  return 0
end

redis.call('ZREMRANGEBYSCORE', SLOTS, '-inf', exact(now))
if not s.told then s.limit = max(s.limit, EXPECTED) end

if #ask.joining > 0 and now > s.opens + CALM then s.opens = now + GRACE end  -- other processes will join again too
for _, slot in ipairs(ask.joining) do  -- of a process that joins: name, seconds left, whether it ended
  occupy(slot[1], now + slot[2])
  if slot[3] and slot[1] == s.probe then s.probe = '' end
end
local closed_for = 0
for _, ended in ipairs(ask.ended) do
  closed_for = max(closed_for, settle(unpack(ended)))
end
for _, name in ipairs(ask.unused) do
  redis.call('ZREM', SLOTS, name)
  if name == s.probe then s.probe = '' end
end

-- Grants.

local occupied = redis.call('ZCARD', SLOTS)

local function may_burst()
  if s.bursting then
    s.bursting = 2 * occupied < s.limit
  else
    s.bursting = 4 * occupied < s.limit and now >= s.idle_from
  end
  return s.bursting
end

local function wait(bulk)
  if s.closed and s.probe ~= '' and now < s.probe_until then return s.probe_until - now, PROBING end
  if s.closed and now < s.closed_until then return s.closed_until - now, PAUSED end
  if occupied >= s.limit then return leaving() - now, FULL end
  if (bulk and not may_burst()) or is_shaped() then return max(0, s.due - now), SPACED end
  return 0, 0
end

local function admit(name, bulk)
  if now < s.opens then return s.opens - now, LOST end
  if bulk and now < s.single_until then return s.single_until - now, BEHIND end
  local seconds, reason = wait(bulk)
  if seconds > 0 then
    s.held_up = reason ~= SPACED
    return seconds, reason
  end
  local is_spaced = not may_burst() or is_shaped()
  if s.held_up or not is_spaced then
    s.held_up = false
    s.due = max(s.due, now)
  end
  if is_spaced then spend() end
  if 4 * occupied >= s.limit then s.idle_from = now + 2 * LENGTH end
  occupy(name, now + LEASE + ANSWERED)
  occupied = occupied + 1
  s.number = s.number + 1
  if s.closed then s.probe, s.probe_until = name, now + LEASE end
  return 0, 0
end

local seconds, reason, singles, bulk = 0, 0, 0, 0
while singles < SINGLES and seconds == 0 do
  seconds, reason = admit(PREFIX .. (FIRST + singles), false)
  if seconds == 0 then singles = singles + 1 end
end
if reason == FULL or reason == SPACED then s.single_until = now + min(seconds, POLL) + 0.05 end
while bulk < BULK and seconds == 0 do
  seconds, reason = admit(PREFIX .. (FIRST + SINGLES + bulk), true)
  if seconds == 0 then bulk = bulk + 1 end
end

save()
return reply(0, s.epoch, s.number, s.limit, singles, bulk, exact(seconds), reason, exact(closed_for), FOREIGN)
"""

SCRIPT: Final = READ_TIME + RULES
