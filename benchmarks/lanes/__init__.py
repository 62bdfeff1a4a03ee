"""Do the lanes keep what they promise: waits, floors, fair shares, large requests, cost, memory?

Each row is one promise with what was measured and whether it was kept. Where time need not be real the dispatcher's own
core plays against the simulated OpenAI in virtual time, over many seeds; the waits that a user would notice are also
measured with real dispatchers, a real Kafka and a real Valkey. No row changes what it measures in order to be kept.

    python -m benchmarks.lanes [--only NAME] [--virtual-only] [--seconds 300] [--json FILE] [--page FILE]
"""
