-- Takes one-use names for a pod. KEYS: the names. ARGV: the pod, then how many milliseconds each name is to be remembered.
-- Answers with 1 for each name that is this pod's now, and was nobody else's.
local taken = {}
for i, name in ipairs(KEYS) do
  local free = redis.call('SET', name, ARGV[1], 'NX', 'PX', ARGV[i + 1])
  taken[i] = (free or redis.call('GET', name) == ARGV[1]) and 1 or 0
end
return taken
