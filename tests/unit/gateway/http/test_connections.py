import asyncio
from typing import cast

from headrace.broker.gateway.http.connections import ConnectionGuard
from headrace.broker.gateway.observing import NoMeter


class Wire:
    """A connection and its transport."""

    def __init__(self) -> None:
        self.is_cut = False

    @property
    def transport(self) -> asyncio.Transport | None:
        return None if self.is_cut else cast("asyncio.Transport", self)

    def abort(self) -> None:
        self.is_cut = True


def guard(connections_max: int = 100) -> ConnectionGuard:
    return ConnectionGuard(10, 60, connections_max, NoMeter())


def test_a_connection_that_never_asks_is_closed_after_the_header_timeout() -> None:
    wire, of = Wire(), guard()
    assert of.look([wire], 0.0) == 0
    assert of.look([wire], 10.0) == 0
    assert of.look([wire], 10.5) == 1
    assert wire.is_cut


def test_a_connection_that_serves_a_request_is_left_alone() -> None:
    wire, of = Wire(), guard()
    of.look([wire], 0.0)
    of.began(wire.transport)
    assert of.look([wire], 1_000.0) == 0


def test_between_two_requests_a_connection_may_be_idle_for_longer() -> None:
    wire, of = Wire(), guard()
    of.began(wire.transport)
    of.ended(wire.transport)
    of.look([wire], 0.0)
    assert of.look([wire], 69.0) == 0
    assert of.look([wire], 71.0) == 1


def test_a_second_request_on_a_connection_starts_its_time_anew() -> None:
    wire, of = Wire(), guard()
    for at_s in (0.0, 60.0, 120.0):
        of.look([wire], at_s)
        of.began(wire.transport)
        of.ended(wire.transport)
    assert of.look([wire], 120.5) == 0
    assert not wire.is_cut


def test_beyond_the_maximum_the_longest_silent_ones_are_closed_first() -> None:
    wires, of = [Wire() for _ in range(5)], guard(connections_max=3)
    of.began(wires[0].transport)
    for at_s, known in enumerate((wires[:2], wires[:3], wires[:4], wires)):
        of.look(known, float(at_s))
    assert [wire.is_cut for wire in wires] == [False, True, True, False, False]


def test_pipelined_requests_keep_a_connection_until_the_last_is_answered() -> None:
    wire, of = Wire(), guard()
    of.began(wire.transport)
    of.began(wire.transport)
    of.ended(wire.transport)
    of.look([wire], 0.0)
    assert of.look([wire], 1_000.0) == 0
