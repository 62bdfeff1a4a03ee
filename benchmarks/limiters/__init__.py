"""How well Headrace does against servers drawn by seed: `make bench-limiters`.

Constants of the budget were tuned on the seeds 20000 to 20119, so judge it by others.

Each seed draws a server (`headrace.broker.simulator.drawn_server`) and a stream of calls: bulk without end, urgent ones
for a tenth of the quota. The dispatcher's own core serves them in virtual time, and so does an omniscient dispatcher
that knows every enforced window. `play` plays one seed, `ideal` is the omniscient one, `report` prints distributions.

`make bench-limiters-http` asks whether virtual time tells the truth: it plays some of the seeds over real HTTP as well,
with a real dispatcher on Kafka and Valkey. `beside` chooses and measures them, `over_http` plays one before the server
of `served`, `pairs` prints both figures of each.
"""
