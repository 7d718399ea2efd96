-- Divides what subjects may send among the pods that hold streams of them, for the next second.
-- KEYS: the pods, by when they were last heard of; then for each subject a hash of what its pods hold and asked for.
-- ARGV: the pod; what a subject may send, in thousandths of a message a second; milliseconds after which a pod that was
-- not heard of is taken for dead; the most streams of a subject, or 0 where these are not looked at; then for each subject
-- its streams on this pod, and the messages that came in the last second (-1: as it was).
-- Answers for each subject with this pod's share, and how many pods hold streams of it: 0 where there are too many.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local me, quota, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])
local alive = {}
for _, pod in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], now - tonumber(ARGV[3]), '+inf')) do alive[pod] = true end
local answers = {}

-- What each should have: as much as it wants as long as all can, and of what is left an equal part. Nobody wants nothing, so
-- that a pod at which nothing came for long has a little at once.
local function fair(own, others)
  local pods = #others + 1
  local least = quota / (4 * pods)
  local wants = {{own = true, want = math.max(own * 1000, least)}}
  for _, other in ipairs(others) do wants[#wants + 1] = {want = math.max(other.asked * 1000, least)} end
  table.sort(wants, function(a, b) return a.want < b.want end)
  local left, mine = quota, 0
  for i, each in ipairs(wants) do
    local part = math.min(each.want, left / (pods - i + 1))
    left = left - part
    if each.own then mine = part end
  end
  return math.floor(mine + left / pods)
end

for i = 2, #KEYS do
  local key = KEYS[i]
  local streams, asked = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  local entries, others, before = redis.call('HGETALL', key), {}, nil
  local held, taken = 0, 0
  for j = 1, #entries, 2 do
    local pod = entries[j]
    local its, wanted, share = string.match(entries[j + 1], '^(%d+) (%d+) (%d+)$')
    if pod == me then
      before = wanted
    elseif its and alive[pod] then
      others[#others + 1] = {pod = pod, asked = tonumber(wanted)}
      held, taken = held + its, taken + share
    else
      redis.call('HDEL', key, pod)
    end
  end
  local share, pods = quota, #others + 1
  if streams == 0 then
    redis.call('HDEL', key, me)
  elseif most > 0 and held + streams > most then
    share, pods = 0, 0
  else
    if asked < 0 then asked = tonumber(before or 0) end
    share = fair(asked, others)
    -- No more than the others leave; only a pod that is new gets its part at once, and they follow within a second.
    if before then share = math.min(share, math.max(quota - taken, 0)) end
    redis.call('HSET', key, me, string.format('%d %d %d', streams, asked, share))
    redis.call('PEXPIRE', key, 60000)
  end
  if streams == 0 or not before then
    for _, other in ipairs(others) do
      local wake = 'meta:quota:wake:' .. other.pod
      redis.call('SADD', wake, key)
      redis.call('PEXPIRE', wake, 60000)
    end
  end
  answers[#answers + 1] = share
  answers[#answers + 1] = pods
end
return answers
