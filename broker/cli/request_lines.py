"""Requests as JSON lines: one object a line, with an optional `lane`, which is read here and not sent.

A file is checked as a whole before its first line is sent, and all its bad lines are reported at once. A pipe may never
end and cannot be read twice, so standard input and named pipes are checked line by line, and the lines before a bad one
have been sent.
"""

import asyncio
import concurrent.futures
import stat
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from headrace.broker.cli.batch_line import MARKS, translated
from headrace.broker.cli.json_line import BrokenLine, object_in
from headrace.broker.cli.line_conflicts import Ids
from headrace.broker.client import Submission, submission
from headrace.broker.errors import InvalidRequest
from headrace.schemas.complaint import kind_of
from headrace.schemas.nearest import nearest, shown
from headrace.schemas.request import GenerationRequest
from headrace.schemas.topics import LANE_NAME

STDIN: Final = "-"
BAD_LINES_TOLD_MAX: Final = 20
_READ_AHEAD: Final = 100
_OF_LINES: Final = ("lane", *MARKS)
_FIELDS: Final = (*GenerationRequest.model_fields, *_OF_LINES)
_UTF_8_MARK: Final = b"\xef\xbb\xbf"
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_GZIP: Final = b"\x1f\x8b"


class BadLines(InvalidRequest):
    """Lines of a file that are not requests.

    Attributes:
        sentences: One for each bad line, for the first twenty of them, and one with the number of all.
    """

    def __init__(self, sentences: Iterable[str]) -> None:
        self.sentences = tuple(sentences)
        super().__init__(" ".join(self.sentences))


@dataclass(slots=True)
class Checked:
    """A file of valid requests: their number, and for each lane its number and its first twenty lines."""

    count: int = 0
    by_lane: Counter[str] = field(default_factory=Counter)
    lines: dict[str, list[int]] = field(default_factory=dict)

    def add(self, number: int, lane: str) -> None:
        """Count line `number` as a request for `lane`."""
        self.by_lane[lane] += 1
        if self.by_lane[lane] <= BAD_LINES_TOLD_MAX:
            self.lines.setdefault(lane, []).append(number)


@contextmanager
def opened(source: str) -> Iterator[IO[bytes]]:
    """Open a file, or standard input for `-`, for reading by lines.

    Raises:
        InvalidRequest: There is no such file, or it cannot be read.
    """
    if source == STDIN:
        # A reader of its own, never closed: a thread that waits in it holds its lock until the process ends.
        yield open(0, "rb", closefd=False)  # noqa: SIM115  # a descriptor has no path
        return
    try:
        lines = Path(source).open("rb")  # noqa: SIM115  # closed below; only opening it is ours to explain
    except (OSError, ValueError) as reason:
        why = reason.strerror if isinstance(reason, OSError) else "no file can have such a name"
        raise InvalidRequest(f"{source} cannot be read: {why}.") from reason
    with lines:
        yield lines


def is_stream(source: str) -> bool:
    """Return whether it can be read only once: standard input, a named pipe, or the result of `<(…)` in a shell.

    If it were checked as a file, it would be empty afterwards, and nothing would be sent, without any message.
    """
    if source == STDIN:
        return True
    try:
        mode = Path(source).stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def checked(source: str, *, lane: str, tenant: str | None, allow_unknown: bool = False) -> Checked:
    """Count the requests of a file and their lanes, after every one has been validated.

    Raises:
        BadLines: Names each line that is not a request, or has the id of another request, and what is wrong with it.
        InvalidRequest: The file does not hold JSON lines, or holds no line.
    """
    bad, ids = _Bad(source), Ids()
    told = Checked()
    with opened(source) as lines:
        for number, line in _filled(lines, source):
            told.count += 1
            try:
                prepared = _submission(line, lane, tenant, allow_unknown=allow_unknown)
                ids.check(prepared, number)
            except InvalidRequest as reason:
                bad.add(number, reason)
            else:
                told.add(number, prepared.lane)
    if not told.count:
        raise InvalidRequest(f"{source} is empty: it needs one JSON object per line.")
    bad.end(told.count)
    return told


def refuse_lanes(source: str, told: Checked, absent: Mapping[str, str]) -> None:
    """Raise BadLines for the lines of lanes that do not exist; `absent` has a sentence for each such lane."""
    bad = _Bad(source)
    for number, sentence in sorted((number, absent[lane]) for lane in absent for number in told.lines.get(lane, ())):
        bad.add(number, InvalidRequest(sentence))
    bad.end(told.count, in_all=sum(told.by_lane[lane] for lane in absent))


def submissions(
    lines: Iterable[bytes], *, lane: str, tenant: str | None, source: str, allow_unknown: bool = False
) -> Iterator[Submission]:
    """Yield the request of each line that is not blank; `lane` and `tenant` apply where a line names none.

    Raises:
        InvalidRequest: Names the line and what is wrong with it.
    """
    for number, line in _filled(lines, source):
        try:
            yield _submission(line, lane, tenant, allow_unknown=allow_unknown)
        except InvalidRequest as reason:
            raise InvalidRequest(_of_line(number, source, reason)) from None


class _Bad:
    """The sentences of bad lines, up to a bound."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._sentences: list[str] = []
        self._count = 0

    def add(self, number: int, reason: InvalidRequest) -> None:
        self._count += 1
        if len(self._sentences) < BAD_LINES_TOLD_MAX:
            self._sentences.append(_of_line(number, self._source, reason))

    def end(self, lines: int, *, in_all: int | None = None) -> None:
        """Raise BadLines if there were bad lines; `in_all` is their number where it is larger than those added."""
        count = self._count if in_all is None else in_all
        if count > 1:
            more = count - len(self._sentences)
            besides = f", of which {more:,} {'is' if more == 1 else 'are'} not shown" if more else ""
            sentence = f"{count:,} of {lines:,} lines are invalid{besides}: nothing was sent."
            raise BadLines([*self._sentences, sentence])
        if count:
            raise BadLines(self._sentences)


def _of_line(number: int, source: str, reason: InvalidRequest) -> str:
    column = reason.column if isinstance(reason, BrokenLine) else None
    return f"Line {number} of {_named(source)}{'' if column is None else f', column {column}'}: {reason}"


def _named(source: str) -> str:
    return "standard input" if source == STDIN else source


def _filled(lines: Iterable[bytes], source: str) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank, numbered from 1. Raises InvalidRequest if the first shows an unfit file."""
    is_first = True
    for number, line in enumerate(lines, 1):
        if not line.removeprefix(_UTF_8_MARK).strip():
            continue
        if is_first and (why := _unfit(line, _named(source))) is not None:
            raise InvalidRequest(why)
        is_first = False
        yield number, line


def _unfit(first: bytes, name: str) -> str | None:
    """Say why a whole file is not JSON lines, by its first line; a sentence for each line would hide the cause."""
    begin = first.removeprefix(_UTF_8_MARK).strip()
    if first.startswith(_GZIP):
        return f"{name} is compressed: unpack it first (`gunzip`)."
    if first.startswith(_UTF_16) or b"\0" in first[:4]:
        return f"{name} is UTF-16, not UTF-8: `iconv -f UTF-16 -t UTF-8` converts it."
    if begin.startswith(b"["):
        return f"{name} is a JSON array: `jq -c '.[]'` writes one object per line."
    if begin == b"{":
        return f"{name} holds an object that spans several lines: `jq -c .` writes one object per line."
    return None


async def beside(read: Iterator[Submission]) -> AsyncIterator[Submission]:
    """Read the requests in a thread: a silent pipe must not delay the requests that are already on their way."""
    loop = asyncio.get_running_loop()
    handed: asyncio.Queue[Submission | Exception | None] = asyncio.Queue(_READ_AHEAD)

    def hand(item: Submission | Exception | None) -> None:
        asyncio.run_coroutine_threadsafe(handed.put(item), loop).result()

    def pump() -> None:
        with suppress(RuntimeError, concurrent.futures.CancelledError):  # the loop has ended: no consumer is left
            try:
                for prepared in read:
                    hand(prepared)
                hand(None)
            except (InvalidRequest, OSError) as reason:
                hand(reason)

    threading.Thread(target=pump, name="read requests", daemon=True).start()
    while (item := await handed.get()) is not None:
        if isinstance(item, Exception):
            raise item
        yield item


def _submission(line: bytes, lane: str, tenant: str | None, *, allow_unknown: bool) -> Submission:
    fields = translated(object_in(line))
    own = fields.pop("lane", None)
    if own is not None and not isinstance(own, str):
        raise InvalidRequest(f"The field lane is not valid: it must be text, not {kind_of(own)}.")
    named = lane if own is None else own
    if LANE_NAME.fullmatch(named.lower()) is None:
        raise InvalidRequest(
            f"There is no lane {shown(named)}: a lane's name is 1 to 32 lower-case letters, digits, - and _."
        )
    if tenant is not None and fields.get("tenant") is None:
        fields["tenant"] = tenant
    if not allow_unknown:
        _check_line_names(fields)
    return submission(fields, lane=named, source="headrace.cli", allow_unknown=allow_unknown)


def _check_line_names(fields: Mapping[str, Any]) -> None:
    """Refuse misspelt names of a line's own fields; `submission` checks those of the request."""
    for name in fields.keys() - GenerationRequest.model_fields.keys():
        if name == "ordering_key":
            raise InvalidRequest(
                "A line cannot carry the field ordering_key: use `GenerationClient.submit(…, ordering_key=…)`."
            )
        near = nearest(name, _FIELDS)
        if near in _OF_LINES:
            raise InvalidRequest(f"There is no field {shown(name)}: did you mean {near}?")
