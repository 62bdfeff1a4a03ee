"""Workloads whose wastes are known, for the advice of `headrace report`; and the story of the README as one of them.

Nothing here shares code with the advice but the shapes of requests and outcomes: tokens are counted by a tokenizer of
its own, the cache is simulated call by call, and each planted waste adds up its own saving.
"""
