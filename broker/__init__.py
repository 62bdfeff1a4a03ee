"""The dispatcher and everything a producer needs to reach it.

Rooms, from the top: `cli` (verbs); `planner` (the core in virtual time) and `testing` (Headrace in memory); `service`
(the processes' shells); `client` (for producers; below it `submission` and `outcome_wait`), `simulator` (a stand-in for
OpenAI) and `local` (a real Kafka and Valkey on this machine); `adapters` (one door for each third party); `ports`,
`client_ports` and `settings`; `core` (decisions, pure). Imports point down only. This package itself imports nothing.
"""
