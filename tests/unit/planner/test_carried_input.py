"""The real core beside a server that charges input which bodies only name: conversations, prompts and files.

`is_named` leaves the references out, as the requests were priced before: then their bodies alone were paid for.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.law_identification import TokenUsage
from headrace.broker.core.pricing.laws import measure, prices
from headrace.broker.core.pricing.references import Reference, ReferenceKind, references, response_mark
from headrace.broker.core.pricing.tariff import Tariff
from headrace.broker.planner.arrivals import Arrival, responses_sizes
from headrace.broker.planner.engine import VirtualRun
from headrace.broker.planner.stage import Stage, Times
from headrace.broker.service.calls.bill import usage_of
from headrace.broker.settings.whole import Settings
from headrace.broker.simulator.behaviours.catalogue import parsed
from headrace.broker.simulator.pricing import Endpoint, size_of
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.virtual import VirtualUpstream
from tests.long_proofs import with_long
from tests.unit.core.specimens import verdict
from tests.unit.simulator.asking import ASKED, Desk, object_of

TOKENS_PER_MINUTE = 330_000
INSTRUCTIONS = 200  # which each turn repeats, and no response carries


def mark(number: int) -> bytes:
    return number.to_bytes(8, "big")


def arrival(number: int, shown: int, carried: int, references: tuple[Reference, ...], output: int = 100) -> Arrival:
    size, _ = responses_sizes(shown)
    _, asked = responses_sizes(shown + carried)
    return Arrival(
        0, "urgent", "gpt-4o", size, asked, number, "responses", output, references=references, answer_mark=mark(number)
    )


def conversations(count: int = 800, turns: int = 3) -> Iterator[Arrival]:
    """Each turn names the response to the one before; so many take turns that the one before has been answered."""
    chance, carried, number = random.Random(7), [0] * count, 0
    for turn in range(turns):
        for each in range(count):
            number += 1
            shown, output = INSTRUCTIONS + chance.randint(40, 160), chance.randint(150, 600)
            before = (Reference(ReferenceKind.RESPONSE, mark(number - count)),) if turn else ()
            yield arrival(number, shown, carried[each], before, output)
            carried[each] += shown - INSTRUCTIONS + output


def templates(count: int = 450, kind: ReferenceKind = ReferenceKind.PROMPT, ids: int = 20) -> Iterator[Arrival]:
    chance = random.Random(7)
    sizes = [chance.randint(1_500, 4_500) for _ in range(ids)]
    for number in range(1, count + 1):
        named = chance.randrange(ids)
        yield arrival(number, chance.randint(40, 160), sizes[named], (Reference(kind, mark(named)),))


def files(count: int = 450) -> Iterator[Arrival]:
    """Each request brings a file of its own."""
    return templates(count, ReferenceKind.FILE, ids=10 * count)


def refused(arrivals: Iterator[Arrival], behaviour: str, *, is_named: bool) -> int:
    """Return the number of 429s."""
    if not is_named:
        arrivals = (each._replace(references=(), answer_mark=b"") for each in arrivals)
    upstream = VirtualUpstream(
        UpstreamSettings(
            tokens_per_minute=TOKENS_PER_MINUTE, requests_per_minute=30_000, behaviours=(parsed(behaviour),)
        )
    )
    limit = {"tokens_per_minute": TOKENS_PER_MINUTE, "requests_per_minute": 30_000}
    settings = Settings.model_validate({"limits": {"gpt-4o": limit}})
    run = VirtualRun(Stage.of(settings), upstream, arrivals, Times(way_ms=(2, 40), commit_ms=12))
    record = run.finish().lanes["urgent"]
    assert record.completed == record.arrived
    return record.throttled


CASES = with_long(
    [
        (conversations, "bucket"),
        (templates, "law-usage"),
        (files, "bucket"),
        (conversations, "law-usage"),
        (templates, "bucket"),
        (files, "law-usage"),
    ],
    3,
)
"""Each traffic and each behaviour belongs to every `make test`, all pairs of them to `make test-long`."""


@pytest.mark.parametrize(("traffic", "behaviour"), CASES)
def test_requests_that_name_their_input_are_not_refused_for_it(
    traffic: Callable[[], Iterator[Arrival]], behaviour: str
) -> None:
    assert refused(traffic(), behaviour, is_named=True) <= 2


@pytest.mark.parametrize("traffic", [conversations, templates, files])
def test_nor_are_they_where_no_answer_shows_what_is_left(traffic: Callable[[], Iterator[Arrival]]) -> None:
    assert refused(traffic(), "headers-none", is_named=True) <= 2


@pytest.mark.parametrize(("traffic", "behaviour"), CASES)
def test_the_same_requests_would_be_refused_if_only_their_bodies_were_priced(
    traffic: Callable[[], Iterator[Arrival]], behaviour: str
) -> None:
    assert refused(traffic(), behaviour, is_named=False) >= 10


@pytest.mark.parametrize("state", ["previous_response_id", "conversation"])
def test_each_turn_is_priced_in_advance_as_the_simulated_server_charges_it(state: str) -> None:
    desk, tariff, charged, priced = Desk(), Tariff(), [], []
    body: dict[str, Any] = ASKED | ({"conversation": {"id": "conv_1"}} if state == "conversation" else {})
    for turn in range(5):
        shown = size_of(Endpoint.RESPONSES, body).input_tokens
        asked = prices("responses", measure("responses", body, shown), Law.RESPONSES, references("responses", body))
        priced.append(tariff.price(asked))
        tariff.record_send(turn, asked, turn)
        before = desk.books.charged.get("gpt-4.1", 0)
        answer = object_of(desk.ask(body, endpoint=Endpoint.RESPONSES))
        charged.append(desk.books.charged["gpt-4.1"] - before)
        told = usage_of(answer)
        assert told is not None
        usage = TokenUsage(told.input_tokens, told.output_tokens, 0, response_mark("responses", answer))
        tariff.observe(turn, verdict(), usage, turn)
        if state == "previous_response_id":
            body = ASKED | {state: answer["id"]}
    first = 1 if state == "conversation" else 0  # the first price of a conversation is a guess
    assert priced[first:] == charged[first:]
    assert charged[-1] > 4 * charged[0]
