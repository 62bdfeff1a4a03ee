"""Manner in which answers state limits: which headers, which wording, how accurate."""

from dataclasses import dataclass
from enum import StrEnum

from headrace.broker.simulator.behaviours.bounds import Behaviour, bounded


@dataclass(frozen=True, slots=True)
class AnswerProfile(Behaviour):
    """Behaviour of what an answer says, and not of what is allowed."""


class ShownWindow(StrEnum):
    """The limit of a metric that headers show, where several are enforced."""

    LONGEST = "longest"
    SHORTEST = "shortest"
    TIGHTEST = "tightest"
    MIXED = "mixed"


class StatedNumbers(StrEnum):
    """The numbers that a 429 states."""

    REFUSING = "refusing"
    SHOWN = "shown"
    MINUTE = "minute"
    NONE = "none"


class StatedWait(StrEnum):
    """The wait that a 429 states."""

    EXACT = "exact"
    SECONDS = "seconds"
    MINUTE = "minute"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ShownLevels(Behaviour):
    """Which of several limits of a metric headers show.

    The one of the longest period, as recorded of OpenAI's days; the shortest; the tightest, of which the smallest share
    is left; or `mixed`: the limit of the longest with the level and the reset of the shortest. All but the first are
    inferred.
    """

    window: ShownWindow = ShownWindow.LONGEST


@dataclass(frozen=True, slots=True)
class StatedRefusals(Behaviour):
    """What a 429 states. Numbers: of the limit that refuses; of the one in headers; scaled to a minute; or none.

    The wait: exact; rounded up to seconds; always a minute; or none. Inferred, but for the exact ones and for the
    seconds of Azure.
    """

    numbers: StatedNumbers = StatedNumbers.REFUSING
    wait: StatedWait = StatedWait.EXACT


@dataclass(frozen=True, slots=True)
class AllHeaders(AnswerProfile):
    """Six `x-ratelimit-*` headers, on refusals also `retry-after` and `retry-after-ms`: the default.

    Evidence: on 2xx and 400 recorded throughout (the facts' §3). No 429 was recorded with its headers (§8), so theirs
    are documented only.
    """


@dataclass(frozen=True, slots=True)
class NoHeaders(AnswerProfile):
    """No headers on any answer; only the wording of a 429 is left.

    Evidence: some compatible servers and gateways; a captured OpenAI 429 had none (openai/openai-node#1477).
    """


@dataclass(frozen=True, slots=True)
class OnlyRetryAfter(AnswerProfile):
    """Only `retry-after` in whole seconds, and a 429 without numbers in its wording.

    Evidence: the specification knows `retry-after` alone (the facts' §3); that a server sends nothing else is inferred.
    """


@dataclass(frozen=True, slots=True)
class OnlyTokenHeaders(AnswerProfile):
    """The three headers of tokens and none of requests.

    Inferred; the opposite was recorded, an audio answer with those of requests alone (the facts' §3).
    """


@dataclass(frozen=True, slots=True)
class BareResponses429(AnswerProfile):
    """Refusals of the Responses API without limit headers and `retry-after`; everything else as usual.

    Evidence: openai/openai-node#1477 (the facts' §3).
    """


@dataclass(frozen=True, slots=True)
class StaleHeaders(AnswerProfile):
    """Levels that are up to `seconds` old: looked up once and repeated until then.

    Inferred; a limiter with several replicas shows it.
    """

    seconds: float = bounded(1.0, 0.001, 3_600.0)


@dataclass(frozen=True, slots=True)
class RoundedHeaders(AnswerProfile):
    """Remaining rounded down to a multiple of a share of the limit, resets rounded up to whole seconds.

    Inferred; recorded remainders are exact and resets are cut to a millisecond.
    """

    parts: int = bounded(20, 1)


@dataclass(frozen=True, slots=True)
class Azure(AnswerProfile):
    """Azure's headers: resets are bare integers in milliseconds, `renewalperiod` is 60; its own 429 and `retry-after`.

    Evidence: 48 recorded rows of `*.openai.azure.com/deployments` (the facts' §3), and its messages (§4.2, template 8).
    `in_seconds` spells resets in whole seconds, as 9 rows of `services.ai.azure.com` seem to.
    """

    in_seconds: bool = False


@dataclass(frozen=True, slots=True)
class AzureUnlimited(AnswerProfile):
    """Limit and remaining `-1`, reset `0`, no `retry-after`; a 429 that states only the seconds to wait.

    Evidence: Azure's Responses API (openai-dotnet#838; the facts' §3) and `Rate limit is exceeded. Try again in {N}
    seconds.` (§4.2).
    """


@dataclass(frozen=True, slots=True)
class Groq(AnswerProfile):
    """OpenAI's headers, and a 429 with model, organisation and service tier in backticks.

    Evidence: template 9 (the facts' §4.2); `tokens per minute (TPM)` there, `requests` by analogy.
    """


@dataclass(frozen=True, slots=True)
class HtmlGateway(AnswerProfile):
    """Refusals and server errors as pages of a gateway in front, with `retry-after` at best.

    Evidence: 502 and 520 pages of Cloudflare (the facts' §4.3); a 429 as a page is inferred.
    """

    retry_after: bool = False
