-- Writes the meta-state unless a newer process writes it already, or something stands there that is not the writer's;
-- tells how far it has read, and lets go of what is part of it.
-- KEYS: meta:latest, meta:epoch, meta:reading, meta:observations, the document's parts, [the snapshot to write beside]
-- ARGV: the writer's epoch, the document, an epoch whose document may be replaced beside its own ('' none, '*' anything),
--       the number of its parts, the last entry of meta:observations that is part of the document, each producer and its
--       last batch that is
local counter = tonumber(redis.pcall('GET', KEYS[2]) or 0) or 0
local epoch = tonumber(ARGV[1])
-- Who has no epoch leads nobody.
if counter > epoch or epoch == 0 then
    return 'fenced'
end
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'none' and ARGV[3] ~= '*' then
    local held = kind == 'string'
        and string.match(redis.call('GETRANGE', KEYS[1], 0, 63), '^{"schema":%d+,"epoch":(%d+),')
    if held ~= ARGV[1] and held ~= ARGV[3] then
        return 'occupied'
    end
end
local parts = tonumber(ARGV[4])
for part = 5, 4 + parts do
    if redis.call('EXISTS', KEYS[part]) == 0 then
        return 'torn'
    end
end
for part = 5, 4 + parts do
    redis.call('PERSIST', KEYS[part])
end
if counter < epoch then
    redis.call('SET', KEYS[2], ARGV[1])
end
redis.call('SET', KEYS[1], ARGV[2])
local snapshot = KEYS[5 + parts]
if snapshot then
    redis.call('SET', snapshot, ARGV[2])
end
redis.call('DEL', KEYS[3])
redis.call('HSET', KEYS[3], 'position', ARGV[5], unpack(ARGV, 6))
-- What is no stream is none of ours.
redis.pcall('XTRIM', KEYS[4], 'MINID', '~', ARGV[5])
return kind == 'none' and 'created' or 'replaced'
