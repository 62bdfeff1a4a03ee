"""Wait of a producer for the outcome of one request: which outcome is the awaited one, and what follows without it.

The results are followed before the record is put where the dispatcher reads it, so that no outcome is missed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from headrace.broker.client_ports import AnswerLog
from headrace.broker.errors import IdConflict, LogUnavailable, MissingTopic, NotSubmitted, Unreachable, WaitTimedOut
from headrace.schemas.expectation import Expectation
from headrace.schemas.outcome import Outcome


@dataclass(slots=True)
class OutcomeWait:
    """One wait for an outcome.

    Attributes:
        expected: What is known of the request whose outcome is awaited.
        noun: What was sent, in sentences: `request` or `cancel`.
        then: What follows if no outcome comes, in sentences.
        known_before: Whether the id may have an outcome already.
        mend: What to do if the id belongs to another request.
        differs: In what an earlier outcome of the id differs. That alone proves no conflict: the dispatcher may have
            forgotten that outcome, and take this request for the first of its id. An outcome that comes later does.
    """

    expected: Expectation
    noun: str
    then: str
    known_before: bool
    mend: str = "choose a new id"
    differs: tuple[str, ...] = ()

    def accepts(self, earlier: Outcome) -> bool:
        """Whether an earlier outcome may be the awaited one."""
        self.differs = self.expected.differences(earlier)
        return not self.differs

    def checked(self, outcome: Outcome) -> Outcome:
        """Return the outcome, if it is the awaited one.

        Raises:
            IdConflict: It is another request's, or says that the id is.
        """
        differs = self.expected.differences(outcome)
        if differs or self.expected.is_told_of_conflict(outcome):
            raise IdConflict(self.expected.id, differs or self.differs, mend=self.mend)
        return outcome

    async def result(
        self, answers: AnswerLog, put: Callable[[], Awaitable[None]], *, timeout_s: float | None, connect_s: float
    ) -> Outcome:
        """Follow the results, put a record where the dispatcher reads it, and wait for the outcome.

        Args:
            answers: The results.
            put: Sends the record.
            timeout_s: The longest wait in all; None: until the outcome has come.
            connect_s: How long Kafka may be away.

        Raises:
            IdConflict: The outcome is another request's, or no outcome came and an earlier one of the id is.
            WaitTimedOut: No outcome within `timeout_s`.
            LogUnavailable: Kafka could not be reached, or did not take the record within `timeout_s`.
            NotSubmitted: A topic is missing.
        """
        request_id, there = self.expected.id, False
        try:
            async with asyncio.timeout(timeout_s), AsyncExitStack() as stack:
                answer = await stack.enter_async_context(answers.waiting(self.expected, connect_s=connect_s))
                await put()
                there = True
                if not self.known_before:
                    return self.checked(await answer)
                return self.checked(await answers.or_earlier(request_id, answer, accepts=self.accepts))
        except TimeoutError:
            if not there:
                raise LogUnavailable(f"Kafka did not take the {self.noun} of {request_id}: send it again.") from None
            if self.differs:
                raise IdConflict(request_id, self.differs, mend=self.mend) from None
            raise WaitTimedOut(f"No outcome of {request_id} within {timeout_s:g} s: {self.then}.") from None
        except MissingTopic as reason:
            raise NotSubmitted(f"The {self.noun} was not sent. {reason}") from reason
        except Unreachable as reason:
            raise LogUnavailable(f"The {self.noun} was not sent. {reason}") from reason
