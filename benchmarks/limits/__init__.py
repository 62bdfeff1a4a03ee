"""How well the budget uses what OpenAI gives, under behaviours that the simulator plays, beside two rivals.

Each row is one behaviour. The same calls are made by the dispatcher, by a client that counts tokens and by workers that
count requests; what was admitted when is read off the simulated OpenAI, and compared with what an omniscient dispatcher
(`oracle`, which imports nothing of broker) would have been charged.

    python -m benchmarks.limits [--only NAME] [--virtual-only] [--json FILE] [--page FILE]
"""
