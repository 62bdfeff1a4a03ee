"""The dispatcher and everything a producer needs to reach it.

Rooms, from the top: `cli` (verbs), `service` (the processes' shells), `client` (for producers; below it `submission`
and `outcome_wait`), `simulator`, `local` and `testing` (stand-ins for OpenAI, Kafka and Redis), `adapters` (one door
for each third party), `ports` and `settings`, `core` (decisions, pure). Imports point down only. This package itself
imports nothing.
"""
