"""Faults in calls: what an answer means, what becomes of a defect, and what is counted."""

from unittest.mock import patch

from headrace.broker.core.answers import verdict
from headrace.broker.core.answers.base_url import Addressee, Ruling
from headrace.broker.core.answers.meaning import Meaning
from headrace.broker.core.commands import Call
from headrace.broker.core.dispatch import Dispatch
from headrace.broker.core.events import Answered, CallNotSent, Crashed
from headrace.broker.core.requests.interrupted_calls import InterruptedCalls
from headrace.broker.core.requests.predecessor import PredecessorState
from headrace.broker.core.requests.recall import RecallPolicy
from headrace.broker.core.ticket import Candidate, ModelTier
from headrace.broker.service.containment import Containment
from headrace.broker.service.driver import Driver, _usage
from headrace.broker.service.payloads import Payload
from tests.simulation.service.mutants.committing import Patch
from tests.simulation.service.mutants.planting import planted


@planted(4)
def repeated_calls_are_not_counted() -> Patch:
    """A call that a dead leader had made already counts as the first."""
    return patch.object(PredecessorState, "repeats", lambda _self, _identity: False)


@planted(4, "a call ends its dispatcher")
def deaths_by_a_call_are_not_counted() -> Patch:
    """A call that ends its process is made again by every successor."""
    return patch.object(InterruptedCalls, "is_to_blame", lambda _self, _identity: False)


@planted(4, "a call ends its dispatcher")
def a_call_begins_before_the_ledger_says_so() -> Patch:
    """A call that ends its process at once is known to no successor."""
    return patch.object(RecallPolicy, "is_cautious", lambda _self, _now_ms: False)


@planted(10)
def a_defect_in_a_call_ends_the_process() -> Patch:
    """An exception in one call is not contained."""

    async def call(self: Driver, command: Call, cargo: Payload) -> Answered | CallNotSent | Crashed:
        if not self.core.trust.holds(self.clock.now_ms()):
            return CallNotSent(command.call)
        verdict, weight = await self._caller(command, cargo)
        return Answered(command.call, verdict, weight, _usage(cargo))

    return patch.object(Driver, "_call", call)


@planted(10)
def a_contained_defect_loses_its_request() -> Patch:
    """A call that ended with an exception leaves its request without an outcome."""

    def crashed(self: Dispatch, event: Crashed, now_ms: int) -> None:
        self._attempts.end_crashed(event.call, now_ms)

    return patch.object(Dispatch, "_crashed", crashed)


@planted(10)
def a_call_that_crashed_is_made_again() -> Patch:
    """A request whose call ended with an exception is called and paid again and again."""

    def crashed(self: Dispatch, event: Crashed, now_ms: int) -> None:
        ticket = self._attempts.end_crashed(event.call, now_ms)
        if ticket is not None:
            self._timers.sleep(ticket, now_ms + 500)
            ticket.state = type(ticket.state)["WAITING"]

    return patch.object(Dispatch, "_crashed", crashed)


@planted(7)
def an_operators_mistake_fails_requests() -> Patch:
    """A refused key, or an empty account, is taken for the fault of each request."""
    return patch.object(verdict, "_FINAL", verdict._FINAL | {Meaning.AUTH, Meaning.QUOTA})


@planted(7)
def another_servers_404_fails_requests() -> Patch:
    """Whatever answers at the base URL is believed to be OpenAI's API."""
    return patch.object(Addressee, "observe", lambda *_: Ruling.AS_JUDGED)


@planted(12)
def a_tier_without_capacity_fails_requests() -> Patch:
    """What a service tier refuses for want of capacity is taken for the fault of each request."""
    return patch.object(verdict, "_FINAL", verdict._FINAL | {Meaning.TIER_UNAVAILABLE})


@planted(12)
def a_tier_without_capacity_holds_up_the_others() -> Patch:
    """All requests of a model rest while one of its service tiers has no capacity."""
    return patch.object(Candidate, "model_tier", property(lambda self: ModelTier(self.model, "")))


@planted(9)
def what_an_exception_says_is_logged() -> Patch:
    """The message of an exception, which may quote a prompt, goes to the log."""
    whole = Containment.contained

    def contained(self: Containment, step: str, error: BaseException | None = None, **where: str | int | None) -> None:
        whole(self, step, error, **where, message=str(error))

    return patch.object(Containment, "contained", contained)
