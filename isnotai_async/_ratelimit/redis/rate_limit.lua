-- The rules of the shared rate limit, on the clock of Redis. One call is one request of a process.
--
-- The rules of one key are those of `policy.py`, `pacer.py` and `sliding_window.py`; those between processes, those of
-- `file/rules.py`. Functions and fields have the same names there, and the tests run both on the same random
-- histories. Two rules are added here:
--
-- 1. The state is also lost if the number of slots differs from the number in it (Redis evicted one of the two keys),
--    or if a key holds other data. Both keys have the same expiry, so that neither is evicted earlier.
-- 2. A call takes one argument and returns one string, because redis-py takes a microsecond for each part of a
--    command and of a reply.
--
-- KEYS: names of the state and of the slots. ARGV[1]: the request as MessagePack, see `ScriptRequest`.
-- `CONSTANTS` and a name stand for a number of `constants.py`; the number replaces them before the script is sent.

local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000

local STATE, SLOTS = KEYS[1], KEYS[2]
local ask = cmsgpack.unpack(ARGV[1])
local LENGTH = ask.length
local ANSWERED = LENGTH * (1 + CONSTANTS.margin)
local ABANDONED = LENGTH * (1 + CONSTANTS.margin + CONSTANTS.linger)
local FULL, SPACED, PAUSED, PROBING, BEHIND, JOINING = 1, 2, 3, 4, 5, 6  -- the places of the reasons in `REASONS`
local INF, min, max = math.huge, math.min, math.max

local function reply(...) return string.format('%d %s %d %d %d %d %.17g %d %.17g %d %d', ...) end

-- The state. -----------------------------------------------------------------------------------------------------

local function make_state()
  return {
    -- as `SharedState`; `joined`: time from which permits are granted. `slots`: number of slots; `last_leaving`: time at
    -- which the last of them becomes free.
    epoch = string.format('%.17g', now), last = now, joined = now + CONSTANTS.joining, single_until = -INF,
    probe = '', probe_until = -INF, slots = 0, last_leaving = -INF,
    -- as `PolicyState`; `tier` is the limit of the tier, `rising_tier` is 0 for none. Numbers of permits start at 1,
    -- because 0 means "no permit of this epoch".
    tier = CONSTANTS.free, is_tier_known = false, rising_tier = 0, number = 1, was_held_up = false, is_bursting = true,
    idle_from = -INF, is_paused = false, paused_until = -INF, paused_after = 0, rejections = 0,
    -- as `Pacer`
    due = -INF, lowered = 1, lowered_at = -INF, spaced_until = -INF,
  }
end

local function try(command, key)  -- nil if the key holds a value of another type
  local found = redis.pcall(command, key)
  if type(found) ~= 'table' then return found end
  if not string.find(found.err, 'WRONGTYPE', 1, true) then return redis.call(command, key) end
end

local function is_state(found, fresh)
  for name, value in pairs(fresh) do
    if type(found[name]) ~= type(value) then return false end
  end
  return found.tier <= ask.highest
end

local function read_state(fresh)  -- the state, and whether other data was in its place
  local packed = try('GET', STATE)
  if packed == false then return fresh, false end
  local is_packed, found = pcall(cmsgpack.unpack, packed)
  if is_packed and type(found) == 'table' and is_state(found, fresh) then return found, false end
  return fresh, true
end

local fresh = make_state()
local state, is_foreign = read_state(fresh)
local count = try('ZCARD', SLOTS)
is_foreign = is_foreign or not count
local knows_more = ask.epoch == state.epoch and ask.number > state.number
local is_evicted = state ~= fresh and count ~= state.slots
if is_foreign or is_evicted or knows_more or now < state.last - CONSTANTS.backward then
  redis.call('DEL', SLOTS)
  state, count = fresh, 0
end
now = max(now, state.last)
state.last = now

local function save()
  -- another process may have a longer lease
  local kept = max(CONSTANTS.kept * 1000, math.ceil((state.last_leaving - now) * 1000) + 1000)
  state.slots = count
  redis.call('SET', STATE, cmsgpack.pack(state), 'PX', kept)
  redis.call('PEXPIRE', SLOTS, kept)
end

if ask.epoch ~= '' and ask.epoch ~= state.epoch then
  save()
  return reply(1, state.epoch, 0, state.tier, 0, 0, 0, JOINING, 0, 0, is_foreign and 1 or 0)
end

-- The slots: `StoredSlots`. ---------------------------------------------------------------------------------------

local function put(name, seconds)
  count = count + redis.call('ZADD', SLOTS, now + seconds, name)
  state.last_leaving = max(state.last_leaving, now + seconds)
end

local function remove(name) count = count - redis.call('ZREM', SLOTS, name) end

local function next_leaving()
  local first = redis.call('ZRANGE', SLOTS, 0, 0, 'WITHSCORES')
  return first[2] and tonumber(first[2]) or INF
end

-- Even spacing: `Pacer`. -----------------------------------------------------------------------------------------

local function share()
  return min(1, state.lowered + CONSTANTS.increase * (now - state.lowered_at) / LENGTH)
end

local function spacing() return LENGTH / (CONSTANTS.utilisation * state.tier * share()) end

local function spaces_all() return now < state.spaced_until end

local function spend()
  local between = spacing()
  local catch_up = max(CONSTANTS.catch_up_least, CONSTANTS.catch_up_rate * state.tier - CONSTANTS.catch_up_offset)
  state.due = max(state.due, now - catch_up * between) + between
end

local function slow_down()
  local spaced = CONSTANTS.spaced_windows * LENGTH
  if now < state.lowered_at + spaced then state.spaced_until = now + spaced end
  state.lowered, state.lowered_at = max(CONSTANTS.least_share, share() * CONSTANTS.decrease), now
end

-- Outcomes: `RateLimitPolicy`. -----------------------------------------------------------------------------------

local function follow_tier(tier)
  if tier == 0 then return end
  local seen = state.rising_tier
  state.is_tier_known, state.rising_tier = true, 0
  if tier == state.tier then return end
  if tier > state.tier and tier ~= seen then
    state.rising_tier = tier
    return
  end
  state.tier = tier
  state.due = min(state.due, now + spacing())
end

local function pause(retry_after)
  local shortest = LENGTH * CONSTANTS.shortest_pause
  if retry_after then return min(max(retry_after, shortest), CONSTANTS.max_pause) end
  local longest = LENGTH * CONSTANTS.longest_pause
  local least = min(shortest * 2 ^ min(state.rejections - 1, CONSTANTS.most_doublings), longest)
  return min(max(least, next_leaving() - now), longest)  -- the rejected request has a slot itself
end

local function reject(number, retry_after)
  if number > state.paused_after then
    state.rejections = state.rejections + 1
    state.is_paused, state.paused_after, state.was_held_up = true, state.number, true
    slow_down()
  elseif not state.is_paused or not retry_after then
    return 0
  end
  local ends = now + pause(retry_after)
  if ends <= state.paused_until then return 0 end
  state.paused_until = ends
  return ends - now
end

local function forget_probe(name)
  if name == state.probe then state.probe = '' end
end

local function record_outcome(name, number, status, retry_after, tier)
  local was_probe = name == state.probe
  forget_probe(name)
  if status == 0 then
    put(name, ABANDONED)
    return 0
  end
  put(name, ANSWERED)
  follow_tier(tier)
  if status == 429 then return reject(number == 0 and state.number or number, retry_after) end
  if was_probe then state.is_paused, state.rejections = false, 0 end
  return 0
end

-- What the process reports. --------------------------------------------------------------------------------------

count = count - redis.call('ZREMRANGEBYSCORE', SLOTS, '-inf', now)
if not state.is_tier_known then state.tier = max(state.tier, ask.expected) end
if now >= state.probe_until then state.probe = '' end  -- its process counts as dead
if #ask.joining > 0 and now > state.joined + CONSTANTS.calm then
  state.joined = now + CONSTANTS.joining  -- other processes will join again too
end
for _, slot in ipairs(ask.joining) do
  local name, seconds, is_ended = unpack(slot)
  put(name, seconds)
  if is_ended then forget_probe(name) end
end
local paused = 0
for _, ended in ipairs(ask.ended) do
  paused = max(paused, record_outcome(unpack(ended)))
end
for _, name in ipairs(ask.unused) do
  remove(name)
  forget_probe(name)
end

-- Grants. --------------------------------------------------------------------------------------------------------

local function may_burst()
  if state.is_bursting then
    state.is_bursting = count < CONSTANTS.burst_share * state.tier
  else
    state.is_bursting = count < CONSTANTS.idle_share * state.tier and now >= state.idle_from
  end
  return state.is_bursting
end

local function wait(bulk)
  if state.is_paused then
    if state.probe ~= '' then return state.probe_until - now, PROBING end
    if now < state.paused_until then return state.paused_until - now, PAUSED end
  end
  if count >= state.tier then return next_leaving() - now, FULL end
  if (bulk and not may_burst()) or spaces_all() then return max(0, state.due - now), SPACED end
  return 0, 0
end

local function try_acquire(name, bulk)
  if now < state.joined then return state.joined - now, JOINING end
  if bulk and now < state.single_until then return state.single_until - now, BEHIND end
  local seconds, reason = wait(bulk)
  if seconds > 0 then
    state.was_held_up = reason ~= SPACED
    return seconds, reason
  end
  local is_spaced = not may_burst() or spaces_all()
  if state.was_held_up or not is_spaced then
    state.was_held_up, state.due = false, max(state.due, now)
  end
  if is_spaced then spend() end
  if count >= CONSTANTS.idle_share * state.tier then
    state.idle_from = now + CONSTANTS.idle_windows * LENGTH
  end
  put(name, ask.lease + ANSWERED)
  state.number = state.number + 1
  if state.is_paused then state.probe, state.probe_until = name, now + ask.lease end
  return 0, 0
end

local seconds, reason, singles, bulk = 0, 0, 0, 0
while singles < ask.singles and seconds == 0 do
  seconds, reason = try_acquire(ask.prefix .. (ask.first + singles), false)
  if seconds == 0 then singles = singles + 1 end
end
if reason == FULL or reason == SPACED then
  state.single_until = now + min(seconds, CONSTANTS.poll) + CONSTANTS.poll_reserve
end
while bulk < ask.bulk and seconds == 0 do
  seconds, reason = try_acquire(ask.prefix .. (ask.first + ask.singles + bulk), true)
  if seconds == 0 then bulk = bulk + 1 end
end

save()
return reply(0, state.epoch, state.number, state.tier, singles, bulk, seconds, reason, paused, count,
  is_foreign and 1 or 0)
