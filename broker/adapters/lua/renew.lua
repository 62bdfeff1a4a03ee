-- Prolong the lease if it is ours; set an absent one again if ARGV[3] is '1'.
-- PEXPIRE, not SET: a Redis that is out of memory (maxmemory) refuses every SET, and PEXPIRE needs no memory.
-- KEYS[1] lease; ARGV[1] own token, ARGV[2] life in ms. Returns {1}, or {0, value} and {0} when absent.
local value = redis.call('GET', KEYS[1])
if value == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return {1}
end
if not value and ARGV[3] == '1' then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return {1}
end
return {0, value}
