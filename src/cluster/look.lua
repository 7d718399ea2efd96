-- Tells who has the lease; where nobody has, where the stored state stands.
-- KEYS: meta:leader, meta:latest; ARGV: the process that asks
-- Answers: held, the holder's name, milliseconds left | own | free, [epoch, beat]
local held = redis.pcall('GET', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
-- What has no end, or is no text, is no lease.
if left >= 0 and type(held) == 'string' then
    local process = string.match(held, '^(.*) %d+$') or held
    if process == ARGV[1] then
        return { 'own' }
    end
    return { 'held', string.match(process, '^%S*'), left }
end
local head = redis.pcall('GETRANGE', KEYS[2], 0, 95)
if type(head) == 'string' then
    local epoch, beat = string.match(head, '^{"schema":%d+,"epoch":(%d+),"beat":(%d+),')
    return { 'free', epoch, beat }
end
return { 'free' }
