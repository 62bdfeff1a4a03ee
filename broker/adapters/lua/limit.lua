-- Give an expiry to a held lease that has none, or one too far off (PERSIST, SET or EXPIRE by hand, a clock that was put
-- back). Its holder renews it in time.
-- KEYS[1] lease; ARGV[1] the value seen, ARGV[2] life in ms, ARGV[3] the longest life in ms. Returns 1 if it did.
local left = redis.call('PTTL', KEYS[1])
if redis.call('GET', KEYS[1]) ~= ARGV[1] or (left >= 0 and left <= tonumber(ARGV[3])) then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
