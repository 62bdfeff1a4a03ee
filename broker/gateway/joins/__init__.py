"""Joins: an SDK that repeats a call is led to the call it has made before, at whichever gateway that was.

The official SDKs repeat a call that failed or timed out, and send no idempotency key with it, only a count
(`x-stainless-retry-count`). Each first attempt is therefore noted in the topic `calls` before its request is put on a
lane, and each answer that a client has received. A repetition reads its partition of that topic to the end and takes
the newest call of the same key, endpoint and body that no client has received. It joins it by submitting the same id
again, which costs nothing: the dispatcher knows it.
"""
