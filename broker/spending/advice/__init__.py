"""Advice: what a workload could do to use fewer tokens, or cheaper ones, from its outcomes and its requests.

Here belong the sampling of requests and outcomes, the joining of both by id, one module for each family of wastes, and
the findings that come of it. Pure and bounded: no I/O, no clock, no tokenizer and no price list, which are handed in.
Prompts are kept in memory only, and appear in a finding only as `excerpts`, if they are asked for.
"""
