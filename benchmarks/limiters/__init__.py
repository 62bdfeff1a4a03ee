"""How well Headrace does before servers that it was not tuned to: `make bench-limiters`.

Each seed draws a server (`headrace.broker.simulator.drawn_server`) and a stream of calls: bulk without end, urgent ones
for a tenth of the quota. The dispatcher's own core serves them in virtual time, and so does an omniscient dispatcher
that knows every enforced window. `play` plays one seed, `ideal` is the omniscient one, `report` prints distributions.

`make bench-limiters-http` asks whether virtual time tells the truth: it plays some of the seeds over real HTTP as well,
with a real dispatcher on Kafka and Valkey. `beside` chooses and measures them, `over_http` plays one before the server
of `served`, `pairs` prints both figures of each.
"""
