"""What a leader reports: made once a second however many pages show it, with its term and what the server stated."""

from dataclasses import replace
from typing import Any

from headrace.broker.core.answers.rate_limit_headers import LimitMetric, Reading
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.service.status.status import RECENT_MS
from tests.unit.service.rig import Process, World
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME
LEVEL = LevelBounds(LimitMetric.TOKENS, 600, 650, 1_000, 60_000)


async def test_a_report_is_shown_again_for_a_second_and_in_the_same_role_alone() -> None:
    process = Process(World(), "a")
    status = process.status
    first = status.recent(5_000)
    assert status.recent(5_000 + RECENT_MS) is first
    second = status.recent(5_001 + RECENT_MS)
    assert second is not first
    process.health.role = "leader"
    third = status.recent(5_001 + RECENT_MS)
    assert third is not second
    assert third["role"] == "leader"


async def test_a_leaders_term_is_noted_and_that_which_a_standby_follows_is_not() -> None:
    process = Process(World(), "a")
    process.health.role, process.health.term = "standby", 3
    assert process.status.reported(0)["lately"]["terms"] == []
    process.health.role = "leader"
    assert [each["term"] for each in process.status.reported(0)["lately"]["terms"]] == [3]


async def test_what_the_server_stated_stands_beside_the_bucket_of_that_size_with_its_age() -> None:
    process = Process(World(), "a")
    reading = Reading(LimitMetric.TOKENS, 1_000, 700, 60_000)
    verdict = Verdict(
        Meaning.OK,
        retryable=False,
        wait_ms=None,
        readings=(reading,),
        snapshot=None,
        counts_as_attempt=False,
        sentence="",
    )
    process.dispatcher.telemetry.lately.count_call("m", verdict, 1)
    now_ms = process.clock.now_ms() + 2_500

    def stated(**fields: Any) -> Any:
        return process.status._bucket("m", replace(LEVEL, **fields), now_ms)["stated"]

    assert stated() == {"level": 700, "age_s": 2.5}
    assert stated(capacity=999) is None
    assert stated(project=True) is None, "the server states the account's"
    assert stated(kind="tokens") is None, "of a kind of its own"
