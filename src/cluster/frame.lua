-- Tells the other pods a beat, unless a newer epoch was taken.
-- KEYS: meta:frames, meta:epoch, meta:frames:wanted
-- ARGV: the writer's epoch, the beat, how many are kept
-- Answers: sent | whole (is wanted by somebody) | epoch (a new one is) | fenced
local counter = redis.pcall('GET', KEYS[2])
counter = type(counter) == 'string' and tonumber(counter) or 0
if counter > tonumber(ARGV[1]) then
    return 'fenced'
end
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', 'beat', ARGV[2])
local wanted = redis.pcall('GET', KEYS[3])
if wanted then
    redis.call('DEL', KEYS[3])
end
return (wanted == 'whole' or wanted == 'epoch') and wanted or 'sent'
