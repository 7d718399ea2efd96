-- The ids of the split documents among those that some keys hold.
-- KEYS: the keys
local ids = {}
for _, key in ipairs(KEYS) do
    -- What is no string, or gone, has no parts.
    local head = redis.pcall('GETRANGE', key, 0, 255)
    if type(head) == 'string' then
        -- Whoever put it there by hand may have written it in another way, `parts` at its end: then all of it is searched.
        if not string.find(head, '^{"schema":%d+,"epoch":%d+,"beat":%d+,"at":"[^"]*","') then
            head = redis.call('GET', key) or ''
        end
        ids[#ids + 1] = string.match(head, '"parts"%s*:%s*{[^}]*"id"%s*:%s*"(%d+%-%d+)"')
    end
end
return ids
