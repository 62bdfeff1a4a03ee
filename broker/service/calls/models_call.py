"""First call to OpenAI by a process that is about to lead: one `GET /models`, which costs no tokens.

It finds a wrong base URL, key, organisation or project before a request does, and only reports it: in the log, and in
the status until a call is answered. It decides nothing. A key may be allowed to generate but not to list models, and
some servers have no such path, so what is wrong with an account is decided by calls alone.
"""

import asyncio
from typing import Final

import structlog

from headrace.broker.core.answers.verdict import Answer, Meaning, Verdict, error_words, judge
from headrace.broker.ports import UpstreamApi, UpstreamReply
from headrace.broker.service.calls.answer_body import published
from headrace.broker.service.calls.foreign_server import response_facts
from headrace.broker.service.containment import ContainmentReporter
from headrace.broker.service.health import Health
from headrace.broker.service.metrics.escapes import safe
from headrace.broker.tasks import ended, set_within

WAITED_FOR_S: Final = 0.3
"""Longest wait of a promotion for the answer, where no call to this base URL has been answered yet."""
GIVEN_UP_S: Final = 10.0
ASKED_AGAIN_S: Final = 60.0
_REASON_CHARS_MAX: Final = 200
_SCOPE: Final = "missing scopes"
_ORGANISATION: Final = frozenset({"invalid_organization", "mismatched_organization"})
_PROJECT: Final = frozenset({"invalid_project", "mismatched_project"})

_log = structlog.get_logger("openai")


class Greeting:
    """Probe made when this process is about to lead, and repeated while a fault is found and no call was answered."""

    def __init__(self, upstream: UpstreamApi, health: Health, *, url: str, contained: ContainmentReporter) -> None:
        """`url` is the masked base URL; a fault that is found goes to `health.openai`."""
        self._upstream = upstream
        self._health = health
        self._url = url
        self._contained = contained
        self._asking: asyncio.Task[None] | None = None
        self._answer_seen = asyncio.Event()
        self._is_served = False
        self._said: object = None

    def begin(self) -> None:
        """Start a task that asks; without effect while one runs."""
        if self._asking is None:
            self._is_served, self._said = False, None
            self._answer_seen.clear()
            self._asking = asyncio.create_task(self._ask(), name="greeting")

    async def wait_for_answer(self, *, within_s: float = WAITED_FOR_S) -> None:
        """Wait for the first answer, at most for `within_s`."""
        await set_within(self._answer_seen, within_s)

    async def end(self) -> None:
        """Stop asking: this process does not lead."""
        asking, self._asking = self._asking, None
        if asking is not None:
            await ended(asking)
        self._health.openai = None

    def record_answer(self) -> None:
        """Note that a call was answered: requests are served, so a fault found before no longer holds."""
        self._is_served, self._health.openai = True, None

    async def _ask(self) -> None:
        """Ask until no fault is found: while no requests come, nothing else would notice that it has been repaired."""
        try:
            while True:
                await self._ask_once()
                self._answer_seen.set()
                if self._health.openai is None:
                    return
                await asyncio.sleep(ASKED_AGAIN_S)
        except Exception as error:  # noqa: BLE001 — it only observes: nothing may end because of it
            self._contained("greeting", error)
        finally:
            self._answer_seen.set()

    async def _ask_once(self) -> None:
        try:
            async with asyncio.timeout(GIVEN_UP_S):
                self._report(await self._upstream.models())
        except TimeoutError:
            _log.warning("openai_silent", url=self._url, seconds=GIVEN_UP_S)

    def _report(self, reply: UpstreamReply) -> None:
        """Log an answer, once for any number of equal ones, and note the fault."""
        answer = reply.answer
        verdict = judge(answer)
        sentence = None if self._is_served else _sentence(self._url, answer, verdict)
        if verdict.meaning is Meaning.OK and _is_a_list(reply.body):
            sentence = None
            _log.info("openai_answers", url=self._url)
        elif (answer.status, sentence) != self._said:
            self._said = answer.status, sentence
            say = _log.info if sentence is None else _log.error
            say("openai_greeted", status=answer.status, sentence=sentence, **self._assess(reply))
        self._health.openai = sentence

    def _assess(self, reply: UpstreamReply) -> dict[str, str]:
        answer = reply.answer
        if answer.status is None:
            return {"url": self._url, "reason": safe(answer.message)[:_REASON_CHARS_MAX]}
        return response_facts(self._url, answer.headers, answer.message or reply.body or "", {})


def _sentence(url: str, answer: Answer, verdict: Verdict) -> str | None:
    """Return what an operator must repair; None where nothing is certain."""
    facts = ", ".join(error_words(answer)) or "no answer"
    match verdict.meaning:
        case Meaning.AUTH if _SCOPE in answer.message.lower():
            return None  # a restricted key: it may generate but not list models
        case Meaning.AUTH:
            return (
                f"OpenAI at {url} refuses {_blamed(answer)} ({facts}): correct it and restart; requests wait meanwhile."
            )
        case Meaning.QUOTA:
            return (
                f"The account at {url} has no credit or has reached a spend limit ({facts}): add credit or raise "
                "the limit at OpenAI; requests wait meanwhile."
            )
        case Meaning.CONNECTION:
            return (
                f"Nothing answers at {url}: check openai.base_url, the network and the proxy; requests wait meanwhile."
            )
        case Meaning.OK:
            return f"The server at {url} is not OpenAI's API ({facts}, no list of models): correct openai.base_url."
        case _:
            return None


def _blamed(answer: Answer) -> str:
    code, said = (answer.error_code or "").lower(), answer.message.lower()
    if code in _ORGANISATION or "no such organization" in said:
        return "the organisation (openai.organization)"
    if code in _PROJECT or "no such project" in said:
        return "the project (openai.project)"
    return "the key (openai.api_key)" if answer.status == 401 else "the key, its project or this region"


def _is_a_list(body: str | None) -> bool:
    """Whether the body is a list of models as the API gives it: an object with `data`, within an answer's bounds."""
    read = published(body)
    return read is not None and isinstance(read.value.get("data"), list)
