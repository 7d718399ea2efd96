-- Has the stream give later names than the last one that was folded: a Redis that lost its end could give them again.
-- KEYS: meta:observations; ARGV: the last name folded
local function less(a, b)
    local am, an = string.match(a, '^(%d+)-(%d+)$')
    local bm, bn = string.match(b, '^(%d+)-(%d+)$')
    am, an, bm, bn = tonumber(am), tonumber(an), tonumber(bm), tonumber(bn)
    return am < bm or (am == bm and an < bn)
end
local last = '0-0'
local told = redis.pcall('XINFO', 'STREAM', KEYS[1])
if not told.err then
    for i = 1, #told, 2 do
        if told[i] == 'last-generated-id' then
            last = told[i + 1]
        end
    end
end
if less(last, ARGV[1]) then
    redis.call('XADD', KEYS[1], ARGV[1], 'mark', '')
    return 1
end
return 0
