-- Gives a lease an end that has none (PERSIST, or a SET by hand) and is not released: who holds it renews it in time.
-- KEYS[1] lease; ARGV[1] the value seen, ARGV[2] life in ms. Returns 1 if it did.
if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('PTTL', KEYS[1]) ~= -1 then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
