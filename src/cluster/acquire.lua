-- Takes the lease if nobody has it, or if an earlier try of this very process won it, together with the next epoch.
-- KEYS: meta:leader, meta:epoch, meta:latest
-- ARGV: the process, the number of this try, the lease's life in milliseconds, an epoch that the process has heard of
-- Answers: granted, the epoch | held, the holder's name, milliseconds left | own (by this try, or a later one)
local held = redis.pcall('GET', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
-- What has no end, or is no text, is no lease.
if left >= 0 and type(held) == 'string' then
    local process, attempt = string.match(held, '^(.*) (%d+)$')
    if process ~= ARGV[1] then
        return { 'held', string.match(held, '^%S*'), left }
    end
    if tonumber(attempt) >= tonumber(ARGV[2]) then
        return { 'own' }
    end
end

-- The counter is raised past what outlived it: a state that was stored, beats that were seen.
local counter = redis.pcall('GET', KEYS[2])
local known = tonumber(ARGV[4])
local head = redis.pcall('GETRANGE', KEYS[3], 0, 63)
if type(head) == 'string' then
    known = math.max(known, tonumber(string.match(head, '^{"schema":%d+,"epoch":(%d+),') or 0))
end
if type(counter) ~= 'string' or not string.match(counter, '^%d+$') or tonumber(counter) < known then
    redis.call('SET', KEYS[2], string.format('%.0f', known))
end
local epoch = redis.call('INCR', KEYS[2])
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'NX', 'PX', ARGV[3])
return { 'granted', epoch }
