-- Gives the lease back, if this process has it by this try or an earlier one, and wakes the pods that wait for it.
-- KEYS: meta:leader, meta:frames; ARGV: the process, the number of its last try
-- Answers: released, whether there was anything to give back or not
local held = redis.pcall('GET', KEYS[1])
local process, attempt = string.match(type(held) == 'string' and held or '', '^(.*) (%d+)$')
if process == ARGV[1] and tonumber(attempt) <= tonumber(ARGV[2]) then
    redis.call('DEL', KEYS[1])
    -- The lease is given back even where nobody can be told.
    redis.pcall('XADD', KEYS[2], '*', 'released', string.match(process, '^%S*'))
end
return { 'released' }
