"""The tokens and requests of one limit: how many are left, and when a call can be paid.

`budget` is the only entry point; `calibration` is what it learns from answers. Mirrors follow the server's buckets from
its headers and refusals; `burst_control`, `cooldown`, `opening` and the breakers decide how fast the tokens that a
mirror shows are spent.
"""
