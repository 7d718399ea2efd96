-- Changes revocations where they are still as the caller read them, and tells that something changed.
-- KEYS: the revocations, their version. ARGV: a new version, the lifetime of both keys in milliseconds at least, then in
-- threes a field, the value expected there ('' for none), and the new one ('' to remove it). Answers with how many changed.
local changed = 0
for i = 3, #ARGV, 3 do
  if (redis.call('HGET', KEYS[1], ARGV[i]) or '') == ARGV[i + 1] then
    if ARGV[i + 2] == '' then
      redis.call('HDEL', KEYS[1], ARGV[i])
    else
      redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
    end
    changed = changed + 1
  end
end
if changed > 0 then
  redis.call('SET', KEYS[2], ARGV[1], 'KEEPTTL')
  for _, key in ipairs(KEYS) do
    if redis.call('PTTL', key) < tonumber(ARGV[2]) then redis.call('PEXPIRE', key, ARGV[2]) end
  end
end
return changed
