-- Takes the next epoch: past the counter, and past what a state says that outlived the counter.
-- KEYS: meta:epoch; ARGV: the epoch of that state
local counter = tonumber(redis.pcall('GET', KEYS[1]) or 0) or 0
local known = tonumber(ARGV[1])
local epoch = string.format('%.0f', math.max(counter, known) + 1)
redis.call('SET', KEYS[1], epoch)
return epoch
