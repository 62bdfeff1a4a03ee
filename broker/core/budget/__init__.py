"""The tokens and requests of one limit: how many are there, and when a call can be paid.

`budget` is the only door. Mirrors follow the server's buckets from its headers and refusals; `burst_control`,
`cooldown`, `opening` and the breakers say how fast to spend what a mirror shows.
"""
