"""A real Apache Kafka and a real Valkey on this machine, from Python packages alone (extra `headrace[local]`).

The demo, the tests, the benchmarks and developers of producers start them here and nowhere else.
Does not belong here: anything a production process needs.
"""
