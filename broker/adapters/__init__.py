"""Adapters: each package or module here is the only one that imports its third party.

An adapter translates the third party's errors into `headrace.broker.errors` and its shapes into ours, and nothing else.
It decides nothing. `headrace.broker.service.compose` chooses those of the processes; `headrace.broker.client`,
`headrace.broker.cli` and `headrace.consumers` open some themselves.
"""
