"""The meaning of each reason, and what to do about it: a sentence each.

A dead letter itself says what was wrong with its record; one of an older release does not, and is explained by its
reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import typer

from schemas.nearest import there_is_no


@dataclass(frozen=True, slots=True)
class Explanation:
    """Meaning of a reason and what to do: `why` fits behind a comma, `advice` is a sentence."""

    why: str
    advice: str

    @property
    def sentence(self) -> str:
        """`why` as a sentence of its own."""
        return f"{self.why[0].upper()}{self.why[1:]}."


_UNKNOWN: Final = Explanation("a reason that this release does not know", "Look into the changelog of the next one.")

EXPLANATIONS: Final[Mapping[str, Explanation]] = {
    "invalid_request": Explanation(
        "it is no request, or asks for what a producer may not",
        "Mend the producer, and let it send a request of a new id.",
    ),
    "rejected": Explanation(
        "OpenAI refused it for what it is, or this dispatcher does not allow its model, a tool or its reply_to",
        "Mend it and send it under a new id. If OpenAI refused it, its outcome in the results has OpenAI's own error.",
    ),
    "too_large": Explanation(
        "its charge is above what the limit holds when full",
        "Shorten it and send it under a new id; or have the limit raised, and `headrace dead-letters replay` it.",
    ),
    "too_large_for_topic": Explanation(
        "the answer was larger than an outcome may be",
        "Ask for less, or raise topics.results.max_message_bytes; the call was paid.",
    ),
    "deadline_exceeded": Explanation(
        "the budget did not suffice before its deadline",
        "See `headrace status` for the backlog; `headrace dead-letters replay` puts it back with a new deadline.",
    ),
    "deadline_unreachable": Explanation(
        "it could not have met its deadline, and was not paid",
        "`headrace dead-letters replay` puts it back with a later --deadline, or on another --lane.",
    ),
    "exhausted": Explanation(
        "OpenAI failed as often as a request may be tried",
        "Look whether OpenAI serves again; then `headrace dead-letters replay` puts it back.",
    ),
    "crashed": Explanation(
        "a defect of Headrace ended its handling, or a dispatcher died of it more than once",
        "Report it together with its value: nothing a producer writes may end a dispatcher.",
    ),
    "unpublishable": Explanation(
        "Kafka refused what should have been published of it",
        "The log says why (`transaction_unknown`): mend the topic it names, then `headrace dead-letters replay`.",
    ),
    "id_conflict": Explanation(
        "its id belongs to another request",
        "Tell its owner: ids are reused for different requests. `headrace dead-letters replay --new-id` puts it back.",
    ),
    "undecodable": Explanation(
        "its bytes cannot be read",
        "The origin names the record; without a value it is a batch that cannot be unpacked, up to that offset.",
    ),
    "lost_by_retention": Explanation(
        "retention removed what stood below this offset, untaken",
        "Raise topics.requests.retention_s, and tell the producers: what stood there has no outcome.",
    ),
}

_NEVER_CALLED: Final[Mapping[str, Explanation]] = {
    "rejected": Explanation(
        "this dispatcher does not allow its model, a tool or its reply_to",
        "Send it under a new id with what models.allow, tools.allow and replies.allow name; or have the list extended, "
        "then `headrace dead-letters replay` it.",
    )
}


def known_reasons(given: Sequence[str] | None) -> tuple[str, ...]:
    """Return the reasons that were asked for.

    Raises:
        typer.BadParameter: One of them does not exist: nothing would ever be found, without any message.
    """
    for reason in given or ():
        if reason not in EXPLANATIONS:
            raise typer.BadParameter(there_is_no("reason", reason, EXPLANATIONS))
    return tuple(given or ())


def explained(reason: str, *, attempts: int) -> Explanation:
    """Return the explanation of a reason; OpenAI refused no request for which no call was made."""
    if attempts == 0 and reason in _NEVER_CALLED:
        return _NEVER_CALLED[reason]
    return EXPLANATIONS.get(reason, _UNKNOWN)
