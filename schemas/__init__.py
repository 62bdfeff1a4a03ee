"""Wire formats: requests, outcomes, failures, dead letters, ledger records, and their codec.

Belongs here: shapes that producers, consumers and the dispatcher exchange through Kafka, and the one module that knows
their versions (`headrace.schemas.codec`). Does not belong here: anything that reads a clock, opens a socket or decides.
Standard library and pydantic only (and, in `sdk_types`, openai's types, once a service asks for them). Every package
may import it; it imports nothing of ours.
"""
