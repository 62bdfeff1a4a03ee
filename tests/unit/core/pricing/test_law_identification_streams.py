"""Streams, whose headers come before the answer, as evidence of a law."""

from headrace.broker.core.endpoints import ENDPOINT_TABLE, Law
from tests.unit.core.pricing.charging import CHAT, Server


def test_streams_tell_every_law_by_headers_that_come_before_the_answer() -> None:
    for law in ENDPOINT_TABLE[CHAT].laws:
        server = Server(law)
        for number in range(20):
            server.call(lasts_ms=400 + 90 * (number % 4), output=150 + 60 * (number % 3), early=True)
        assert (server.witness.evidence.believed, server.witness.evidence.identified) == (law, True)
        assert set(server.witness.errors) == {0}


def test_streams_and_whole_answers_together_tell_a_law_that_charges_when_calls_end() -> None:
    server = Server(Law.USAGE)
    for number in range(20):
        server.call(lasts_ms=400 + 90 * (number % 4), output=150 + 60 * (number % 3), early=number % 2 == 0)
    assert server.witness.evidence.believed is Law.USAGE
    assert set(server.witness.errors) == {0}
