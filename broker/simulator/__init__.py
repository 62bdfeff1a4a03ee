"""A stand-in for OpenAI that limits, prices and answers as recorded, and the naive clients the demo compares with.

Shares no code with `broker.core`: it is the judge of the core's beliefs. Only `broker.cli`, tests and benchmarks
import it.
"""
