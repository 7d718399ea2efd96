-- How long some keys' values are, and the parts that those name which are heads of split documents.
-- KEYS: the keys
-- For each: its length, and its parts as JSON or ''
local heads = {}
for i, key in ipairs(KEYS) do
    local length, parts = redis.pcall('STRLEN', key), ''
    -- What is no string has no parts, and neither has what is gone.
    if type(length) ~= 'number' then
        length = 0
    elseif not string.find(redis.call('GETRANGE', key, 0, 255), '^{"schema":%d+,"epoch":%d+,"beat":%d+,"at":"[^"]*","meta"') then
        -- Whoever put it there by hand may have written it in another way, `parts` at its end.
        for some in string.gmatch(redis.call('GET', key) or '', '"parts"%s*:%s*(%b{})') do
            parts = parts .. some
        end
    end
    heads[i] = { length, parts }
end
return heads
