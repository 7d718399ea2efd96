-- Gives the lease another life, if this try of this process has it and no newer epoch was taken.
-- KEYS: meta:leader, meta:epoch
-- ARGV: the process, the number of the try that won, the lease's life in milliseconds, the epoch that it was won with
-- Answers: renewed | gone | fenced
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] .. ' ' .. ARGV[2] then
    return { 'gone' }
end
local counter = redis.pcall('GET', KEYS[2])
counter = type(counter) == 'string' and tonumber(counter) or 0
if counter > tonumber(ARGV[4]) then
    return { 'fenced' }
end
-- A Redis that went back may have kept the lease and lost the count.
if counter < tonumber(ARGV[4]) then
    redis.call('SET', KEYS[2], ARGV[4])
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return { 'renewed' }
