-- Take the lease if it is free: absent, released, or ours already (after a lost reply).
-- KEYS[1] lease; ARGV[1] own token, ARGV[2] life in ms. Returns {1}, or {0, value, remaining ms}.
local value = redis.call('GET', KEYS[1])
if not value or value == 'released' or value == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return {1}
end
return {0, value, redis.call('PTTL', KEYS[1])}
