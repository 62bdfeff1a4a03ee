"""Progress of a file of requests: for the bar, for the summary at its end, and for the sentence after Ctrl-C."""

import shlex
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Final

from headrace.broker.amounts import counted, spoken_s
from headrace.broker.cli.outcome_rows import seconds_of
from headrace.broker.cli.request_lines import STDIN
from headrace.broker.client import Receipt, Submission
from headrace.schemas.outcome import Failed, FailureReason, Outcome

_SAFE: Final = (
    "A line with an id is safe to send again: a request that had arrived is not called twice. A line without an id "
    "gets a new one and would be called again."
)


class Sending:
    """State of each line: read, sent or ended.

    Attributes:
        total: The number of requests; None where it is not known, as for a pipe.
    """

    def __init__(self, source: str, total: int | None) -> None:
        """Start with nothing read."""
        self.total = total
        self._source = source
        self._line = 0  # number of the last line read
        self._good = 0  # number of the last line that held a request
        self._read: deque[int] = deque()  # lines of requests that were read and not begun
        self._open: dict[str, int] = {}  # lines of requests that are under way, by id, in order
        self._sent: Counter[str] = Counter()  # by lane
        self._ended: Counter[str] = Counter()  # `completed`, or the reason
        self._waits_s: list[float] = []
        self._silent = 0

    # ------------------------------------------------------------------ events

    def lines(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the lines of the source, counted as they are read."""
        for line in lines:
            self._line += 1
            yield line

    def read(self, prepared: Iterator[Submission]) -> Iterator[Submission]:
        """Yield the requests of these lines, and record the line of each at the moment in which it has been read."""
        for one in prepared:
            self._good = self._line
            self._read.append(self._line)
            yield one

    def note_begun(self, request_id: str) -> None:
        """Record that the next request that was read has been handed over."""
        self._open.setdefault(request_id, self._read.popleft())

    def note_sent(self, receipt: Receipt) -> None:
        """Record that Kafka has the request; receipts come in the order in which requests were read."""
        self._read.popleft()
        self._sent[receipt.lane] += 1

    def note_ended(self, request_id: str, outcome: Outcome | None) -> None:
        """Record a request's outcome, or that none came in time."""
        self._open.pop(request_id, None)
        if outcome is None:
            self._silent += 1
            return
        self._ended[str(outcome.reason) if isinstance(outcome, Failed) else "completed"] += 1
        if (seconds := seconds_of(outcome)) is not None:
            self._waits_s.append(seconds)

    def note_conflict(self, request_id: str) -> None:
        """Record a request that was not called because its id belongs to another one."""
        self._open.pop(request_id, None)
        self._ended[FailureReason.ID_CONFLICT] += 1

    # ------------------------------------------------------------------ reports

    @property
    def has_outcomes(self) -> bool:
        """Whether at least one request has ended."""
        return bool(self._ended)

    @property
    def is_all_well(self) -> bool:
        """Whether nothing failed, and nothing stayed without an outcome."""
        return not self._silent and not self._ended.keys() - {"completed"}

    def sent(self) -> str:
        """Return the summary of requests that were sent and not waited for."""
        lanes = ", ".join(f"{count:,} on {lane}" for lane, count in self._sent.most_common())
        count = self._sent.total()
        are = "is" if count == 1 else "are"
        follows = " `headrace results --follow` shows outcomes as they arrive." if count else ""
        return f"{counted(count, 'request')} {are} sent{f': {lanes}' if lanes else ''}.{follows}"

    def ended(self) -> Iterator[str]:
        """Yield the summary of requests that were waited for, a sentence a line."""
        failed = self._ended.total() - self._ended["completed"]
        told = [f"{self._ended['completed']:,} answered"]
        told += [f"{count:,} failed ({reason})" for reason, count in self._ended.most_common() if reason != "completed"]
        told += [f"{self._silent:,} without an outcome in time"] if self._silent else []
        yield f"{counted(self._ended.total() + self._silent, 'request')}: {', '.join(told)}."
        if self._waits_s:
            waits = sorted(self._waits_s)
            half, most = (spoken_s(waits[-(-len(waits) * part // 100) - 1]) for part in (50, 95))
            longest = spoken_s(waits[-1])
            yield f"Time from sent to answered: 50 % within {half}, 95 % within {most}, all within {longest}."
        if failed:
            yield "`headrace results --failed` shows what failed."
        if self._silent:
            yield "Requests without an outcome stay under way; `headrace status` says what they wait for."

    @property
    def has_begun(self) -> bool:
        """Whether a request may have been sent."""
        return bool(self._sent or self._open or self._ended)

    def how_to_go_on(self, *, waited: bool) -> str:
        """Say how many requests are sent, how many are not, and how to resume."""
        of = "" if self.total is None else f" of {self.total:,}"
        first = next(iter(self._open.values()), self._read[0] if self._read else self._good + 1)
        if not waited:
            unsure = f" Up to {len(self._read):,} of the next may have been sent too." if self._read else ""
            count = self._sent.total()
            said = f"{count:,}{of} {'is' if count == 1 else 'are'} certainly sent.{unsure}"
        else:
            are = "it is" if len(self._open) == 1 else "they are"
            under_way = f" {len(self._open):,} more may have been sent and {are} under way." if self._open else ""
            unsent = self._read[0] if self._read else self._good + 1
            count = self._ended.total()
            said = f"{count:,}{of} {'has its' if count == 1 else 'have their'} outcome.{under_way}"
            if self.total is None or count + len(self._open) < self.total:
                said += f" Nothing was sent from line {unsent:,} on."
        return f"{said} To continue, begin with line {first:,}{self._command(first)}. {_SAFE}"

    def _command(self, first: int) -> str:
        if self._source == STDIN:
            return " of the former standard input"
        if self.total is None:
            return f" of the input read from {self._source}"
        return f": `tail -n +{first} {shlex.quote(self._source)} | headrace submit -`, with the same options"
