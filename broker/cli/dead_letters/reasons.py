"""The meaning of each reason, and what to do about it: a sentence each.

A dead letter itself says what was wrong with its record; one of an older release does not, and is explained by its
reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import typer

from headrace.schemas.nearest import there_is_no


@dataclass(frozen=True, slots=True)
class Explanation:
    """Meaning of a reason and what to do: `why` fits behind a comma, `advice` is a sentence."""

    why: str
    advice: str

    @property
    def sentence(self) -> str:
        """`why` as a sentence of its own."""
        return f"{self.why[0].upper()}{self.why[1:]}."


_UNKNOWN: Final = Explanation(
    "a reason that this release does not know", "Look it up in the changelog of a newer release."
)

EXPLANATIONS: Final[Mapping[str, Explanation]] = {
    "invalid_request": Explanation(
        "it is not a valid request, or it asks for something that producers may not set",
        "Correct the producer and have it send a request with a new id.",
    ),
    "rejected": Explanation(
        "OpenAI refused it, or this dispatcher does not allow its model, a tool or its reply_to",
        "Correct it and send it under a new id. If OpenAI refused it, its outcome in the results has OpenAI's own "
        "error.",
    ),
    "too_large": Explanation(
        "its charge is larger than the limit's bucket",
        "Shorten it and send it under a new id; or have the limit raised, then put it back with `headrace "
        "dead-letters replay`.",
    ),
    "too_large_for_topic": Explanation(
        "the answer was too large for an outcome",
        "Ask for a shorter answer, or raise topics.results.max_message_bytes. The call was paid.",
    ),
    "deadline_exceeded": Explanation(
        "no tokens became available for it before its deadline",
        "See `headrace status` for the backlog; `headrace dead-letters replay` puts it back with a new deadline.",
    ),
    "deadline_unreachable": Explanation(
        "no call could have started before its deadline, so none was paid",
        "`headrace dead-letters replay` puts it back with a later --deadline, or on another --lane.",
    ),
    "exhausted": Explanation(
        "OpenAI failed on every allowed attempt",
        "Check that OpenAI answers again; then `headrace dead-letters replay` puts it back.",
    ),
    "crashed": Explanation(
        "a defect in Headrace ended its handling, or it ended a dispatcher more than once",
        "Report it together with its value: no record may end a dispatcher. Without a value it is a batch that was "
        "given up unread; its message names the offsets.",
    ),
    "unpublishable": Explanation(
        "Kafka refused the record of its outcome",
        "The log says why (`transaction_unknown`): correct the topic it names, then run `headrace dead-letters "
        "replay`.",
    ),
    "id_conflict": Explanation(
        "its id belongs to another request",
        "Tell the producer's owner that it reuses ids for different requests. `headrace dead-letters replay "
        "--new-id` puts it back.",
    ),
    "undecodable": Explanation(
        "its bytes cannot be read",
        "The origin names the record. If there is no value, it is a batch that cannot be unpacked, up to that offset.",
    ),
    "lost_by_retention": Explanation(
        "retention removed the records below this offset before they were taken",
        "Raise topics.requests.retention_s, and tell the producers: the removed requests have no outcome.",
    ),
}

_NEVER_CALLED: Final[Mapping[str, Explanation]] = {
    "rejected": Explanation(
        "this dispatcher does not allow its model, a tool or its reply_to",
        "Send it under a new id with what models.allow, tools.allow and replies.allow name; or have the list "
        "extended, then put it back with `headrace dead-letters replay`.",
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
