-- Writes the meta-state unless a newer process writes it already, or something stands there that is not the writer's.
-- KEYS: meta:latest, meta:epoch, [the snapshot to write beside]
-- ARGV: the writer's epoch, the document, an epoch whose document may be replaced beside its own ('' none, '*' anything)
local counter = tonumber(redis.pcall('GET', KEYS[2]) or 0) or 0
local epoch = tonumber(ARGV[1])
if counter > epoch then
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
if counter < epoch then
    redis.call('SET', KEYS[2], ARGV[1])
end
redis.call('SET', KEYS[1], ARGV[2])
if KEYS[3] then
    redis.call('SET', KEYS[3], ARGV[2])
end
return kind == 'none' and 'created' or 'replaced'
