"""Fates by number, for the tests of `headrace.broker.core.identity.outcome_index`."""

from headrace.broker.core.identity.outcome_index import Identity, OutcomeIndex

WINDOW = 64_000  # a stride is one second


def identity(number: int, run: int = 0) -> Identity:
    return Identity(number.to_bytes(16, "big"), run, b"contents")


def fates(ids_max: int = 1_000) -> OutcomeIndex:
    return OutcomeIndex(window_ms=WINDOW, ids_max=ids_max)
