"""The dispatcher's own core in virtual time: every call of a row waits in one lane from the start."""

from collections.abc import Sequence
from typing import Final

from benchmarks.limits.calls import MODELS, Asked
from benchmarks.limits.rows import Row
from benchmarks.limits.world import WAY_MS, Record, Witness
from headrace.broker.core.pricing.references import references, response_mark
from headrace.broker.planner.arrivals import Arrival, chat_sizes, responses_sizes
from headrace.broker.planner.engine import VirtualRun
from headrace.broker.planner.stage import Stage, Times
from headrace.broker.settings.whole import Settings
from headrace.broker.simulator.pricing import Endpoint

REFUSED_TIER: Final = "flex"
RESPONSES: Final = "responses"
LANE: Final = "urgent"  # the first lane: nothing is kept in reserve for others
COMMIT_MS: Final = 12.0
LONGEST_MS: Final = 1_200_000
SHARED: Final = "shared-models"
_LOOK_MS: Final = 250


def settings_of(row: Row) -> Settings:
    """Return what an operator would write: the limit a minute, as it is known, and nothing about how it is enforced."""
    name = MODELS[0] if row.models == 1 else SHARED
    limit: dict[str, object] = {
        "models": MODELS[: row.models],
        "tokens_per_minute": row.tokens_per_minute,
        "requests_per_minute": row.requests_per_minute,
    }
    if row.cap_tokens_per_minute is not None:
        limit["cap_tokens_per_minute"] = row.cap_tokens_per_minute
    return Settings.model_validate({"limits": {name: limit}, "dispatcher": {"inflight_max": row.inflight_max}})


def dispatch(row: Row, asked: Sequence[Asked]) -> Record:
    """Make the calls; return the simulated OpenAI's record of them."""
    upstream = Witness(row)
    refused = [_arrival(number, call)._replace(tier=REFUSED_TIER) for number, call in enumerate(asked[: row.refused])]
    arrivals = refused + [_arrival(number, call) for number, call in enumerate(asked, row.refused)]
    run = VirtualRun(Stage.of(settings_of(row)), upstream, arrivals, Times(way_ms=WAY_MS, commit_ms=COMMIT_MS))
    record = upstream.record
    while not run.advance(run.now_ms + _LOOK_MS) and not record.storms and run.now_ms < LONGEST_MS:
        if row.refused and record.calls == len(asked):
            break  # the others wait for their tier
    record.lost = len(asked) - record.calls
    return record


def _arrival(number: int, call: Asked) -> Arrival:
    if call.endpoint is Endpoint.RESPONSES:
        size, _ = responses_sizes(call.shown_tokens)
        named = references(RESPONSES, {"previous_response_id": call.before})
        own = response_mark(RESPONSES, {"id": call.id})
        return Arrival(
            0,
            LANE,
            call.model,
            size,
            call.size,
            number,
            RESPONSES,
            call.output_tokens,
            references=named,
            answer_mark=own,
        )
    size, asked = chat_sizes(call.text_bytes, answer_max=call.answer_max)
    return Arrival(0, LANE, call.model, size, asked, partition=number, output_tokens=call.output_tokens)
