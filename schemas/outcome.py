"""The end of a request: exactly one of Completed, Failed for each (id, run).

Readers keep what they do not know: unknown fields stay, an unknown reason is a failure like any other, and an answer
that ended in an unknown way did not end with `stop`.
"""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from headrace.schemas.answer_text import refusal_of_answer
from headrace.schemas.instants import Instant
from headrace.schemas.money import MICRO_USD_MAX, PICO_PER_MICRO
from headrace.schemas.outcome_errors import GenerationFailed, OutcomeUnreadable
from headrace.schemas.sdk_types import as_sdk_type
from headrace.schemas.structured import Parsed, parsed_as, text_or_raise

UNREADABLE: Final = "unreadable"
"""The reason of the Failed that a reader delivers for an unreadable outcome; no dispatcher publishes it."""


class FailureReason(StrEnum):
    """Reason of a request's final failure."""

    INVALID_REQUEST = "invalid_request"
    REJECTED = "rejected"
    TOO_LARGE = "too_large"
    TOO_LARGE_FOR_TOPIC = "too_large_for_topic"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    DEADLINE_UNREACHABLE = "deadline_unreachable"
    EXHAUSTED = "exhausted"
    CRASHED = "crashed"
    CANCELLED = "cancelled"
    UNPUBLISHABLE = "unpublishable"
    ID_CONFLICT = "id_conflict"


class Finish(StrEnum):
    """The end of an answer, in one vocabulary for chat completions and responses, streamed or not."""

    STOP = "stop"
    """The model completed its answer."""

    LENGTH = "length"
    """Cut short by the cap on its output or by the model's context; text, or JSON, may end in the middle."""

    REFUSAL = "refusal"
    """The model declined, in `refusal` instead of the text or JSON that was asked for."""

    CONTENT_FILTER = "content_filter"
    """OpenAI's content filter left out a part of it."""

    TOOL_CALLS = "tool_calls"
    """The model waits for the results of tools that the caller must run."""


class Usage(BaseModel):
    """Tokens billed, as the response reports them."""

    model_config = ConfigDict(extra="allow", frozen=True)

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0
    """Input tokens written to the prompt cache, which some models bill above other input."""
    image_tokens: int = 0
    """Input tokens of images, where the answer counts them apart."""


class Cost(BaseModel):
    """Price of the call that made an outcome, by a price list; what earlier attempts cost is not known.

    `micro_usd` is in millionths of a US dollar, with up to six decimals; None if the list has no price for it, which
    `note` explains. `price_list` names the list and its version. `band` is not empty where a model's price depends on
    the length of the input and this call was above a threshold: `>272000`.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    micro_usd: float | None = None
    price_list: str = ""
    band: str = ""
    note: str | None = None

    @property
    def pico_usd(self) -> int | None:
        """The same in millionths of a millionth of a US dollar, which adds up without rounding.

        None as well if it is no amount of money that a call costs, such as -1 or 1e308: it would spoil all sums.
        """
        micro_usd = self.micro_usd
        return None if micro_usd is None or not 0 <= micro_usd <= MICRO_USD_MAX else round(micro_usd * PICO_PER_MICRO)


class Timings(BaseModel):
    """Times of a request's steps; a step that did not happen is absent."""

    model_config = ConfigDict(extra="allow", frozen=True)

    submitted_at: Instant | None = None
    taken_at: Instant | None = None
    called_at: Instant | None = None
    finished_at: Instant | None = None
    queue_ms: int | None = None
    upstream_ms: int | None = None


_DIGEST: Final = (
    "Identifies the request: BLAKE2b-128, in hex, of [endpoint, body] as JSON (sorted keys, no spaces, ASCII). Null if "
    "the request was not available (a record that is not a request, a parked request), and in outcomes of older "
    "releases."
)


_TIER_ASKED: Final = "The `service_tier` of the request's body; null if it names none, `(malformed)` if it is no name."
_UPSTREAM_REQUEST_ID: Final = (
    "OpenAI's own id of the last call (`x-request-id`), by which its support finds it; null if no answer named one, "
    "and in outcomes of older releases."
)
_TEMPLATE: Final = "The request's `template`; null if it names none, and in outcomes of older releases."
_COST: Final = "What the last call cost by a price list; null if there was none that is paid, and in older outcomes."
_CHARGE: Final = "Tokens that the last call was counted with against the limit; null if it was not answered."
_TIER_SERVED: Final = "The `service_tier` that the answer names, which may be another one; null if it names none."


class _Outcome(BaseModel):
    """Fields of every outcome; with a `request_digest`, tenant and endpoint are the request's."""

    model_config = ConfigDict(extra="allow", frozen=True)

    id: str
    run: int = 0
    lane: str | None = None
    tenant: str | None = None
    endpoint: str | None = None
    request_digest: str | None = Field(None, description=_DIGEST)
    model: str | None = None
    template: str | None = Field(None, description=_TEMPLATE)
    tier_asked: str | None = Field(None, description=_TIER_ASKED)
    tier_served: str | None = Field(None, description=_TIER_SERVED)
    usage: Usage | None = None
    cost: Cost | None = Field(None, description=_COST)
    charge_tokens: int | None = Field(None, description=_CHARGE)
    attempts: int = 0
    upstream_request_id: str | None = Field(None, description=_UPSTREAM_REQUEST_ID)
    term: int = 0
    metadata: dict[str, Any] = Field(default_factory=dict)
    timings: Timings = Field(default_factory=Timings)


class Completed(_Outcome):
    """OpenAI's answer: `response` is its complete JSON.

    `finish` is how the answer ended; None where that is not known, as for embeddings.
    """

    status: Literal["completed"] = "completed"
    response: dict[str, Any]
    finish: Annotated[Finish | str | None, Field(union_mode="left_to_right")] = None

    @property
    def text(self) -> str:
        """The text that the model wrote: of a chat completion, its first choice's; of a response, all its parts.

        Empty if the model called tools instead, or declined (`refusal`).

        Raises:
            AnswerUnusable: It is an answer without text, of embeddings.
        """
        return text_or_raise(self)

    @property
    def refusal(self) -> str | None:
        """The text with which the model declined; None if it did not."""
        return refusal_of_answer(self.response)

    def parsed(self, wanted: type[Parsed] | TypeAdapter[Parsed]) -> Parsed:
        """Return the text as a value of `wanted`: a pydantic model, or whatever else a TypeAdapter takes.

        Raises:
            AnswerUnusable: The model declined, the answer was cut off, or its text does not fit; the sentence says what
                to do, and quotes nothing of the answer.
        """
        return parsed_as(self, wanted)

    def as_openai(self) -> Any:
        """Return the answer as the SDK's own type: a ChatCompletion, a Response or a CreateEmbeddingResponse.

        It needs the package openai, which headrace does not install for producers and readers.

        Raises:
            SdkMissing: The package is not installed, or has no such type yet.
        """
        return as_sdk_type(self)


class Failed(_Outcome):
    """Final failure of a request: `message` is one sentence for people, `error` OpenAI's error object if there was one.

    `usage`, `cost`, `charge_tokens` and `tier_served` are those of its last call where that was answered, and so paid:
    an answer that no outcome could carry, or that came for a request that was cancelled meanwhile.

    `submitted_id` is present only with the reason `id_conflict`: the id with which the request was sent, and which
    belongs to another request. `id` is then a substitute, derived from it and the record's position.
    """

    status: Literal["failed"] = "failed"
    reason: Annotated[FailureReason | str, Field(union_mode="left_to_right")]
    message: str = ""
    error: dict[str, Any] | None = None
    submitted_id: str | None = None

    @property
    def text(self) -> NoReturn:
        """There is none.

        Raises:
            GenerationFailed: With this outcome, as `generate` raises it.
        """
        raise self._as_error()

    @property
    def refusal(self) -> NoReturn:
        """Raise as `text`: the request failed, and so the model did not decline."""
        raise self._as_error()

    def parsed(self, wanted: type[Parsed] | TypeAdapter[Parsed]) -> NoReturn:
        """Raise as `text`."""
        raise self._as_error()

    def as_openai(self) -> NoReturn:
        """Raise as `text`."""
        raise self._as_error()

    def _as_error(self) -> GenerationFailed:
        return OutcomeUnreadable(self) if self.reason == UNREADABLE else GenerationFailed(self)


def sent_as(outcome: Completed | Failed) -> str:
    """Return the id that the request was sent with, which is the key of its outcome's record."""
    submitted = outcome.submitted_id if isinstance(outcome, Failed) else None
    return outcome.id if submitted is None else submitted


Outcome = Completed | Failed
