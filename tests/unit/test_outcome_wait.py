"""One wait for an outcome, with results that are scripted: what it returns, and what it raises without one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from headrace.broker.errors import IdConflict, LogUnavailable, MissingTopic, NotSubmitted, Unreachable, WaitTimedOut
from headrace.broker.outcome_wait import OutcomeWait
from headrace.schemas.expectation import Expectation
from headrace.schemas.outcome import Completed, Failed, Outcome
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

OURS = Completed(id="lead-1", tenant="zenith", response={"n": 1})
THEIRS = Completed(id="lead-1", tenant="acme", response={"n": 2})


class Results:
    """The results: `earlier` ones, and what `publish` brings."""

    def __init__(self, *earlier: Outcome, error: Exception | None = None) -> None:
        self.earlier = earlier
        self.error = error
        self.steps: list[str] = []
        self.answer: asyncio.Future[Outcome] = asyncio.Future()

    @asynccontextmanager
    async def waiting(self, expected: Expectation, *, connect_s: float) -> AsyncIterator[asyncio.Future[Outcome]]:
        if self.error is not None:
            raise self.error
        self.steps.append(f"follow {expected.id} within {connect_s:g} s")
        yield self.answer

    async def or_earlier(
        self, request_id: str, answer: asyncio.Future[Outcome], *, accepts: Callable[[Outcome], bool]
    ) -> Outcome:
        self.steps.append(f"read {request_id} back")
        found = next((outcome for outcome in self.earlier if accepts(outcome)), None)
        return await answer if found is None else found

    async def close(self) -> None:
        """There is nothing to close."""

    async def put(self) -> None:
        self.steps.append("put")


async def result(results: Results, *, known_before: bool = False, put: Callable[[], object] | None = None) -> Outcome:
    wait = OutcomeWait(Expectation("lead-1", "zenith"), "request", "it goes on", known_before, mend="look for it")

    async def sent() -> None:
        await results.put()
        if put is not None:
            put()

    return await wait.result(results, sent, timeout_s=5, connect_s=2)


async def test_the_results_are_followed_before_the_record_is_put() -> None:
    results = Results()
    assert await result(results, put=lambda: results.answer.set_result(OURS)) == OURS
    assert results.steps == ["follow lead-1 within 2 s", "put"], "an id that is new has no earlier outcome"


async def test_an_earlier_outcome_of_the_same_request_is_the_awaited_one() -> None:
    results = Results(THEIRS, OURS)
    assert await result(results, known_before=True) == OURS
    assert results.steps[-1] == "read lead-1 back"


async def test_an_outcome_of_another_request_is_a_conflict() -> None:
    results = Results()
    results.answer.set_result(THEIRS)
    with pytest.raises(IdConflict, match="another tenant: look for it") as raised:
        await result(results)
    assert raised.value.differs == ("tenant",)


async def test_an_outcome_that_says_the_id_is_anothers_is_a_conflict_though_nothing_differs() -> None:
    expected = Expectation("lead-1", "zenith", "responses", "00" * 16)
    told = Failed(
        id="record-7",
        submitted_id="lead-1",
        tenant="zenith",
        endpoint="responses",
        request_digest="00" * 16,
        reason="id_conflict",
        message="",
    )
    wait = OutcomeWait(expected, "request", "", known_before=True)
    assert not wait.accepts(THEIRS)
    with pytest.raises(IdConflict) as raised:
        wait.checked(told)
    assert raised.value.differs == ("tenant",), "as the earlier outcome tells"


async def test_without_an_outcome_the_wait_ends_and_says_what_follows() -> None:
    with pytest.raises(WaitTimedOut, match=r"No outcome of lead-1 within 5 s: it goes on\."):
        await result(Results(), known_before=True)


async def test_without_an_outcome_an_earlier_one_of_another_request_proves_the_conflict() -> None:
    with pytest.raises(IdConflict) as raised:
        await result(Results(THEIRS), known_before=True)
    assert raised.value.differs == ("tenant",)


async def test_a_record_that_is_not_put_in_time_is_to_be_sent_again() -> None:
    class Slow(Results):
        async def put(self) -> None:
            await asyncio.sleep(60)

    with pytest.raises(LogUnavailable, match="Kafka did not take the request of lead-1: send it again"):
        await result(Slow())


@pytest.mark.parametrize(
    ("error", "kind"),
    [(MissingTopic("generation.results"), NotSubmitted), (Unreachable("No Kafka at h:1."), LogUnavailable)],
)
async def test_what_keeps_the_record_from_being_sent_is_told(error: Exception, kind: type[Exception]) -> None:
    with pytest.raises(kind) as raised:
        await result(Results(error=error))
    assert str(raised.value) == f"The request was not sent. {error}"
    assert raised.value.__cause__ is error
