-- Mark our own lease released, without expiry, and wake the processes that wait for it.
-- KEYS[1] lease; ARGV[1] own token, ARGV[2] channel. Returns 1, or 0 if the lease was not ours.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], 'released')
redis.call('PUBLISH', ARGV[2], 'released')
return 1
