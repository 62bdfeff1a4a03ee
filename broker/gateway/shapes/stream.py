"""Server-sent events of a streamed answer, made of chunks that may be lost and of the outcome, which is the truth.

Chunks are early parts of the answer: what they say is sent on as long as they arrive in order. Once one is missing,
nothing more is sent until the outcome comes; then exactly what is missing of it is. What was sent must be a beginning
of the outcome's answer. Where a later attempt answers otherwise, nothing can be unsent: the stream ends with an error
(`stream_restarted`).
"""

from typing import Final, Protocol

from headrace.broker.gateway.shapes.errors import SERVER_ERROR, ApiError
from headrace.schemas.chunk import Chunk
from headrace.schemas.cloudevents import json_bytes
from headrace.schemas.outcome import Outcome

DONE: Final = b"data: [DONE]\n\n"
"""Last frame of a chat completion's stream."""


class StreamShape(Protocol):
    """One client's stream. Each method returns the frames to send now, in order; none raises.

    Attributes:
        has_ended: Whether the last frame was returned: nothing follows it, and the connection can be closed.
        has_begun: Whether any frame was returned; before that, an error can still be an HTTP status.
    """

    @property
    def has_ended(self) -> bool: ...  # noqa: D102  # see above

    @property
    def has_begun(self) -> bool: ...  # noqa: D102  # see above

    def add(self, chunk: Chunk) -> list[bytes]:
        """Add a chunk of this request, in the order of arrival, whatever its attempt."""

    def finish(self, outcome: Outcome) -> list[bytes]:
        """Add the outcome; of a failed one, the error."""

    def fail(self, error: ApiError) -> list[bytes]:
        """End the stream with an error."""


def data_frame(data: object) -> bytes:
    """Frame an unnamed event, as chat completions have them."""
    return b"data: " + json_bytes(data) + b"\n\n"


def event_frame(kind: str, data: object) -> bytes:
    """Frame a named event, as responses have them."""
    return f"event: {kind}\n".encode() + data_frame(data)


def restarted(given_id: str) -> ApiError:
    """Make the error for an answer that another attempt began anew, after a part of the former one was sent."""
    return ApiError(
        500,
        "The call was interrupted after a part of its answer had been sent, and made again with another answer. The "
        f"whole answer can be had by sending the request again with the header x-headrace-id: {given_id}.",
        type=SERVER_ERROR,
        code="stream_restarted",
        headers={"x-headrace-id": given_id},
    )
