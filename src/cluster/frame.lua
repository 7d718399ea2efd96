-- Tells the other pods a beat, unless a newer epoch was taken.
-- KEYS: meta:frames, meta:epoch, meta:frames:wanted
-- ARGV: the writer's epoch, the beat, how many are kept
-- Answers: sent | wanted (a whole state, by somebody) | fenced
local counter = redis.pcall('GET', KEYS[2])
counter = type(counter) == 'string' and tonumber(counter) or 0
if counter > tonumber(ARGV[1]) then
    return 'fenced'
end
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', 'beat', ARGV[2])
if redis.call('DEL', KEYS[3]) == 1 then
    return 'wanted'
end
return 'sent'
