"""Lines of an input file: split from its parts, checked as OpenAI checks them, and read as requests.

A file is refused as a whole for what concerns its form; then none of its requests is called. What is wrong with a
single body is found when its request is submitted or called, and fails that line alone.
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from headrace.broker.gateway.batches.records import LineComplaint
from headrace.broker.gateway.shapes.requests import ENDPOINT_OF_PATH
from headrace.schemas.bounded_json import Unreadable, parse

REQUESTS_MAX: Final = 50_000
ERRORS_MAX: Final = 100
"""Complaints that a batch keeps; a file with more of them is read no further."""
LINE_BYTES_MAX: Final = 1024 * 1024
"""Of one line; a record of a lane takes fewer bytes."""
CUSTOM_ID_MAX: Final = 512
_NESTING_MAX: Final = 100
ENDPOINTS: Final[Mapping[str, str]] = ENDPOINT_OF_PATH
"""URLs that a batch may have, and our names of their endpoints."""
_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "/v1/chat/completions": ("model", "messages"),
    "/v1/responses": ("model",),
    "/v1/embeddings": ("model", "input"),
}
"""Parameters of a body whose absence OpenAI finds before it begins."""


@dataclass(frozen=True, slots=True)
class InputLine:
    """A physical line, from 1; `text` is None if it is too long to be held."""

    line: int
    text: bytes | None


@dataclass(frozen=True, slots=True)
class LineRequest:
    """The request of a line."""

    custom_id: str
    body: dict[str, Any]

    @property
    def model(self) -> str | None:
        """The requested model; None where the body names none."""
        named = self.body.get("model")
        return named if isinstance(named, str) else None


async def split_lines(parts: AsyncIterator[bytes]) -> AsyncGenerator[InputLine, None]:
    """Yield the lines of a file that are not blank; no more than one line and one part is held."""
    held, is_long, line = bytearray(), False, 0
    async for part in parts:
        *whole, rest = part.split(b"\n")
        for piece in whole:
            line += 1
            held += piece
            if is_long or held.strip():
                yield InputLine(line, None if is_long or len(held) > LINE_BYTES_MAX else bytes(held).strip())
            held.clear()
            is_long = False
        held += rest
        if len(held) > LINE_BYTES_MAX:
            held.clear()
            is_long = True
    if is_long or held.strip():
        yield InputLine(line + 1, None if is_long else bytes(held).strip())


def read_line(given: InputLine, endpoint: str) -> LineRequest | LineComplaint:
    """Read one line of a batch for the URL `endpoint`."""
    if given.text is None:
        return LineComplaint(
            code="line_too_long", message=f"This line is longer than {LINE_BYTES_MAX} bytes.", line=given.line
        )
    try:
        fields = parse(given.text, bytes_max=LINE_BYTES_MAX, nesting_max=_NESTING_MAX)
    except Unreadable:
        fields = None
    if not isinstance(fields, dict):
        message = "This line is not parseable as valid JSON."
        return LineComplaint(code="invalid_json_line", message=message, line=given.line)
    return _complaint(fields, endpoint, given.line) or LineRequest(fields["custom_id"], fields["body"])


def _complaint(fields: Mapping[str, Any], endpoint: str, line: int) -> LineComplaint | None:
    for name in ("custom_id", "method", "url", "body"):
        if fields.get(name) is None:
            message = f"Missing required parameter: '{name}'."
            return LineComplaint(code="missing_required_parameter", message=message, line=line, param=name)
    custom_id, method, url = fields["custom_id"], fields["method"], fields["url"]
    if not isinstance(custom_id, str) or not 1 <= len(custom_id) <= CUSTOM_ID_MAX:
        message = f"The custom_id must be a string of 1 to {CUSTOM_ID_MAX} characters."
        return LineComplaint(code="invalid_custom_id", message=message, line=line, param="custom_id")
    if method != "POST":
        message = "The method must be POST."
        return LineComplaint(code="invalid_method", message=message, line=line, param="method")
    if url != endpoint:
        message = "The URL provided for this request does not match the batch endpoint."
        return LineComplaint(code="invalid_url", message=message, line=line, param="url")
    if not isinstance(fields["body"], dict):
        message = "The body must be a JSON object."
        return LineComplaint(code="invalid_body", message=message, line=line, param="body")
    return _complaint_of_body(fields["body"], endpoint, line)


def _complaint_of_body(body: Mapping[str, Any], endpoint: str, line: int) -> LineComplaint | None:
    for name in _REQUIRED[endpoint]:
        if body.get(name) is None:
            message = f"{name.capitalize()} parameter is required."
            return LineComplaint(code="invalid_request", message=message, line=line, param=f"body.{name}")
    if body.get("stream"):
        message = "Streaming is not supported in the Batch API."
        return LineComplaint(code="streaming_unsupported", message=message, line=line, param="body.stream")
    return None


@dataclass(slots=True)
class FileCheck:
    """Check of a whole file, line by line.

    Attributes:
        requests: Number of requests so far.
        complaints: What is wrong so far.
    """

    endpoint: str
    may_use_model: Callable[[str], bool]
    requests: int = 0
    complaints: list[LineComplaint] = field(default_factory=list)
    _models: set[str] = field(default_factory=set)
    _ids: dict[bytes, int] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether reading on would change nothing."""
        return len(self.complaints) >= ERRORS_MAX or self.requests > REQUESTS_MAX

    @property
    def model(self) -> str | None:
        """The one model of all requests, if there is one."""
        return next(iter(self._models)) if len(self._models) == 1 else None

    def add(self, given: InputLine) -> None:
        """Check the next line."""
        self.requests += 1
        if self.requests > REQUESTS_MAX:
            return
        read = read_line(given, self.endpoint)
        complaint = read if isinstance(read, LineComplaint) else self._of_the_file(read, given.line)
        if complaint is not None:
            self.complaints.append(complaint)

    def _of_the_file(self, read: LineRequest, line: int) -> LineComplaint | None:
        digest = hashlib.blake2b(read.custom_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        first = self._ids.setdefault(digest, line)
        if first != line:
            message = f"The custom_id of this line is also that of line {first}; each must be unique within a batch."
            return LineComplaint(code="duplicate_custom_id", message=message, line=line, param="custom_id")
        if read.model is not None:
            if not self.may_use_model(read.model):
                message = f"The provided model '{read.model[:100]}' is not available for this key."
                return LineComplaint(code="model_not_found", message=message, line=line, param="body.model")
            if len(self._models) < 2:  # two of them are as telling as all
                self._models.add(read.model)
        return None

    def verdict(self) -> tuple[LineComplaint, ...]:
        """Return what is wrong with the file, once all its lines were added; nothing: it is valid."""
        if self.requests > REQUESTS_MAX:
            message = f"The batch has more than {REQUESTS_MAX} requests, the most that a file may have."
            return (LineComplaint(code="too_many_tasks", message=message),)
        if not self.requests:
            return (LineComplaint(code="empty_file", message="The input file is empty. Please check the file."),)
        return tuple(self.complaints)
