-- How long some keys' values are, and in which parts the agents are of those that hold the head of a split document.
-- KEYS: the keys
-- For each: its length, the id of its parts or '', their length
local heads = {}
for i, key in ipairs(KEYS) do
    local length, id, bytes = redis.pcall('STRLEN', key), '', 0
    -- What is no string has no parts, and neither has what is gone.
    if type(length) == 'number' then
        local head = redis.call('GETRANGE', key, 0, 255)
        -- Whoever put it there by hand may have written it in another way, `parts` at its end: then all of it is searched.
        if not string.find(head, '^{"schema":%d+,"epoch":%d+,"beat":%d+,"at":"[^"]*","') then
            head = redis.call('GET', key) or ''
        end
        local parts = string.match(head, '"parts"%s*:%s*(%b{})')
        if parts then
            id = string.match(parts, '"id"%s*:%s*"(%d+%-%d+)"') or ''
            bytes = tonumber(string.match(parts, '"bytes"%s*:%s*(%d+)')) or 0
        end
    else
        length = 0
    end
    heads[i] = { length, id, bytes }
end
return heads
