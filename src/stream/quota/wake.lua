-- A pod tells that it lives, and learns what concerns it.
-- KEYS: the pods, by when they were last heard of; subjects whose shares this pod should ask for anew. ARGV: the pod.
-- Answers with whether the pod was known, and those subjects.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('ZSCORE', KEYS[1], ARGV[1]) and 1 or 0
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 60000)
redis.call('PEXPIRE', KEYS[1], 60000)
local woken = redis.call('SMEMBERS', KEYS[2])
redis.call('DEL', KEYS[2])
return {known, woken}
