"""The one error tree of `broker`; its axis is what the caller does next.

    HeadraceError
    ├── NotSubmitted            nothing reached a lane: safe to submit again with the same id
    │   ├── InvalidRequest      … once the request is corrected
    │   └── LogUnavailable      … once Kafka is back
    │       └── PositionGone    of a reader: what comes next was removed; open anew
    ├── Unresolved              the request may be under way: ask again with the same id
    │   ├── WaitTimedOut
    │   └── Disconnected
    ├── GenerationFailed        there is an outcome, and it is Failed: see `outcome`; a new id, or a replay
    │   └── OutcomeUnreadable   … or it cannot be read here: no new id, or a completed request is paid again
    ├── AnswerUnusable          there is an answer, and not of the form that was asked for: see `reason`; a new id
    ├── SdkMissing              openai is not installed here: install it, or take `response`
    ├── IdConflict              the id is another request's, and nothing was called for this one: choose a new id
    ├── ServiceError            a process cannot start or go on: an operator must do what the sentence says
    │   ├── SettingsError       exit 2
    │   ├── RightsError         exit 2
    │   ├── AuthenticationError exit 2
    │   ├── MissingTopic        exit 2
    │   └── Unreachable         exit 3: wait, or look at the network
    ├── LeaseUnavailable        Redis does not answer: neither mine nor not mine; go on as long as trust lasts
    ├── ProducerDead            the transaction's outcome is unknown: prove leadership anew, then ask the stored map
    └── ProgressUnreadable      exit 2: the stored progress cannot be believed; an operator must look; no guessing

Every message is one sentence for a person that says what to do. `exit_code` is what a verb exits with.
"""

from collections.abc import Iterable, Sequence

from headrace.broker.core.setback import Setback
from headrace.schemas.outcome_errors import (
    AnswerUnusable,
    GenerationFailed,
    HeadraceError,
    OutcomeUnreadable,
    SdkMissing,
)

__all__ = [  # those that an outcome raises, too: schemas import nothing of ours, so the root stands there
    "AnswerUnusable",
    "AuthenticationError",
    "Disconnected",
    "GenerationFailed",
    "HeadraceError",
    "IdConflict",
    "InvalidRequest",
    "LeaseUnavailable",
    "LogUnavailable",
    "MissingTopic",
    "NotSubmitted",
    "OutcomeUnreadable",
    "PositionGone",
    "ProducerDead",
    "ProgressUnreadable",
    "RightsError",
    "SdkMissing",
    "ServiceError",
    "SettingsError",
    "Unreachable",
    "Unresolved",
    "WaitTimedOut",
]


class NotSubmitted(HeadraceError):  # noqa: N818  # named by what holds, as the tree above
    """Nothing reached a lane."""

    exit_code = 2


class InvalidRequest(NotSubmitted):
    """The request was refused before it was sent: correct it."""


class LogUnavailable(NotSubmitted):
    """Kafka did not take the request in time. Submitting again with the same id is safe: it costs one call at most."""

    exit_code = 3


class PositionGone(LogUnavailable):
    """A reader's position is outside what its partition holds: retention was faster. Opening anew helps."""


class Unresolved(HeadraceError):  # noqa: N818
    """The request may be under way; asking again with the same id is safe."""

    exit_code = 3


class WaitTimedOut(Unresolved):
    """The outcome did not come in time."""


class Disconnected(Unresolved):
    """The connection was lost after sending and before an answer."""


class IdConflict(HeadraceError):  # noqa: N818
    """The id belongs to a request of another tenant, endpoint or body; its outcome is not handed out.

    Attributes:
        request_id: The id.
        differs: Which of `tenant`, `endpoint` and `body` differ; empty where only the dispatcher knows.
    """

    exit_code = 2

    def __init__(self, request_id: str, differs: Sequence[str] = (), *, mend: str = "choose a new id") -> None:
        """`mend` says what the caller is to do."""
        what = " and ".join(differs) or "tenant, endpoint or body"
        super().__init__(f"The id {request_id} belongs to a request with another {what}: {mend}.")
        self.request_id = request_id
        self.differs = tuple(differs)


class ServiceError(HeadraceError):
    """A process cannot start or go on."""

    exit_code = 2


class SettingsError(ServiceError):
    """The settings contradict themselves, or the world."""


class RightsError(ServiceError):
    """Kafka or Redis know us, but deny us access."""


class AuthenticationError(ServiceError):
    """Password, mechanism or certificate are not accepted."""


class MissingTopic(ServiceError):  # noqa: N818
    """A required topic does not exist; only the operator creates topics."""

    def __init__(self, *topics: str, hidden_from: str = "", beside: Iterable[str] = ()) -> None:
        """`hidden_from` names the Kafka user for which an ACL may hide the topics, so that they may exist.

        `beside` are the existing topics, if Kafka was asked for all.
        """
        named = ", ".join(sorted(topics))
        noun, are, do, them = ("topic", "is", "does", "it") if len(topics) == 1 else ("topics", "are", "do", "them")
        if hidden_from:
            said = (
                f"The {noun} {named} {are} missing, or hidden from {hidden_from} by an ACL: grant DESCRIBE on {them}, "
                "which READ and WRITE include, or run `headrace topics create`."
            )
        else:
            said = f"The {noun} {named} {do} not exist: run `headrace topics create`."
        super().__init__(said)
        self.topics = topics
        self.beside = frozenset(beside)


class Unreachable(ServiceError):  # noqa: N818
    """A service we need does not answer."""

    exit_code = 3


class LeaseUnavailable(HeadraceError):  # noqa: N818
    """Redis did not answer in time: the question stays open; this is never an answer."""

    exit_code = 3


class ProducerDead(HeadraceError):  # noqa: N818
    """A transactional producer raised: it is unusable, and whether its last transaction stands is unknown.

    Attributes:
        setback: What kind of error it was. After a refusal the transaction certainly does not stand.
        topic: The topic that refused a record, where that is known.
    """

    exit_code = 3

    def __init__(self, message: str, *, setback: Setback = Setback.UNKNOWN, topic: str | None = None) -> None:
        super().__init__(message)
        self.setback = setback
        self.topic = topic

    @property
    def is_refusal(self) -> bool:
        """Whether the transaction will fail again because of its content."""
        return self.setback is Setback.REFUSED

    @property
    def is_denial(self) -> bool:
        """Whether a right or a topic is missing, which an operator must provide."""
        return self.setback is Setback.DENIED


class ProgressUnreadable(HeadraceError):  # noqa: N818
    """The stored progress or the ledger cannot be believed: an operator must look, a restart changes nothing."""

    exit_code = 2
