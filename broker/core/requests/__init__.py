"""Requests, from the record taken to the commit of the outcome.

A record is triaged, waits, is called, retried or parked, decided, and published with its transaction; the registry
holds its ticket until then. Start with `triage` for what comes in, `attempts` and `retry` for what follows an answer,
`outbox` and `transactions` for what goes out, `role_transitions` for what a change of leader does to all of them.
"""
