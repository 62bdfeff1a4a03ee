"""A producer's request: one OpenAI call.

The schema is open: unknown fields are kept, so that an old reader can read what a new producer writes.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, field_validator, model_validator

from headrace.schemas.ids import ID_LENGTH_MAX, is_valid_id
from headrace.schemas.instants import Instant
from headrace.schemas.tiers import tier_in

Endpoint = Literal["chat.completions", "responses", "embeddings"]
"""Names of the rows of `headrace.broker.core.endpoints`, the table with everything else about them."""
ENDPOINTS: tuple[str, ...] = get_args(Endpoint)
UNSTREAMED = frozenset({"embeddings"})

FORBIDDEN_BODY_KEYS = ("extra_headers", "extra_query", "extra_body", "timeout")
"""Keys that the SDK would take as its own arguments: a producer sets no URL, no header, no time-out, no key."""

TOPIC_NAME = r"^[a-zA-Z0-9._-]{1,249}$"
LABEL_LENGTH_MAX = 256
_DEFAULT_WHEN_NULL = ("endpoint", "stream", "metadata")


def _printable(candidate: str) -> str:
    if not is_valid_id(candidate):
        raise ValueError(f"an id is 1 to {ID_LENGTH_MAX} printable ASCII characters")
    return candidate


Id = Annotated[
    str,
    AfterValidator(_printable),
    WithJsonSchema({"type": "string", "pattern": "^[ -~]+$", "minLength": 1, "maxLength": ID_LENGTH_MAX}),
]
Label = Annotated[str, Field(min_length=1, max_length=LABEL_LENGTH_MAX)]


class GenerationRequest(BaseModel):
    """One request, the value of a record in `generation.requests.<lane>`.

    Attributes:
        id: 1 to 128 printable ASCII characters, chosen by the producer; a second submission of it costs nothing.
        body: The JSON body of the HTTP request for `endpoint`, sent as it is.
        endpoint: `chat.completions`, `responses` or `embeddings`.
        tenant: The party whose work it is; the tenants of a lane share it by weight.
        deadline: Aware UTC; the answer is of no use after it. None: the lane's default.
        stream: Whether deltas are published to the chunks topic as they arrive.
        reply_to: A topic that gets a copy of the outcome.
        template: Name of the prompt template; outcomes repeat it, and tokens and cost are summed up by it.
        metadata: Any JSON object of the producer; the outcome repeats it.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, title="GenerationRequest")

    id: Id
    body: dict[str, Any]
    endpoint: Endpoint = "chat.completions"
    tenant: Label | None = None
    deadline: Instant | None = None
    stream: bool = False
    reply_to: Annotated[str, Field(pattern=TOPIC_NAME)] | None = None
    template: Label | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)

    @property
    def model(self) -> str | None:
        """The requested model; None where the body names none."""
        named = self.body.get("model")
        return named if isinstance(named, str) else None

    @property
    def tier(self) -> str:
        """The service tier that the body asks for (`headrace.schemas.tiers`); empty where it names none."""
        return tier_in(self.body)

    @model_validator(mode="before")
    @classmethod
    def _null_means_default(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or all(data.get(name, ...) is not None for name in _DEFAULT_WHEN_NULL):
            return data
        return {name: value for name, value in data.items() if value is not None or name not in _DEFAULT_WHEN_NULL}

    @field_validator("body")
    @classmethod
    def _asks_only_what_it_may(cls, body: dict[str, Any]) -> dict[str, Any]:
        for key in FORBIDDEN_BODY_KEYS:
            if key in body:
                raise ValueError(f"the body must not contain {key}: a producer sets no header, query or time-out")
        return body

    @model_validator(mode="after")
    def _streams_by_the_top_level(self) -> "GenerationRequest":
        if self.body.get("stream") and not self.stream:
            raise ValueError("streaming is asked for by the top-level stream, not by the body's")
        if self.stream and self.endpoint in UNSTREAMED:
            raise ValueError(f"{self.endpoint} cannot be streamed")
        return self


def deadline_of(request: GenerationRequest, override: datetime | None) -> datetime | None:
    """Return the effective deadline: a replay's header takes precedence over the body's."""
    return override if override is not None else request.deadline
