"""Shape of a dialect: what one family of servers writes into headers, codes and messages about its limits.

All servers here speak OpenAI's protocol; they differ in the names of headers, in codes and in sentences. A dialect is
data. `headrace.broker.core.answers.dialect_table` has one for each family, the modules that read headers, codes and
messages have one interpreter each, over all dialects at once: what an answer holds tells which dialect it is in, never
the base URL, behind which a gateway may stand.

Expressions search a text of bounded length and have no repetition within a repetition, so each of them takes a time
that is linear in the text. Named groups are the facts of a statement:

- `metric`: a word for what is counted, such as `tokens`, `calls`, `queries`; `unit`: TPM, RPD and the like;
- `period`: a word, `minute`; `seconds`: a number of them;
- `id`: a limit's name that states metric and period in its words, `GenerateRequestsPerMinutePerProject`;
- `capacity`, `used`, `left`, `requested` and what `more` is requested: numbers; `name`, `model`: names;
- `project`: the limit is a project's;
- of a wait: `go` in Go's notation, `span` in words, `at` an instant.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from headrace.broker.core.answers.meaning import Meaning


@dataclass(frozen=True, slots=True)
class HeaderBucket:
    """Names of the headers that describe one bucket.

    Attributes:
        kind: `tokens` or `requests` for a bucket that every call draws on; any other word for one that is only shown.
        period_ms: As the headers' names state it, or the server's documentation; None if neither does.
        limit: The header with the capacity.
        remaining: The header with the level, right after the answered request was charged.
        reset: The header with the time until the bucket is full again, in any form: Go's notation, seconds, an instant.
        shown_only: People see it and no budget believes it: its period or what it counts is not known for certain.
    """

    kind: str
    period_ms: int | None
    limit: str
    remaining: str
    reset: str
    shown_only: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """A sentence that states a limit.

    Attributes:
        sentence: Expression without which the template does not apply. If it is found several times, the statement that
            shows its limit used up counts, else the first.
        further: Expressions of facts elsewhere in the text.
        metric: What is counted, where the sentence itself says no more.
        period_ms: The period, likewise.
        exact: Whether the sentence describes the bucket that refused, so that a budget may believe its numbers.
        sized: Whether a sentence without a readable capacity states nothing.
    """

    sentence: str
    further: tuple[str, ...] = ()
    metric: str | None = None
    period_ms: int | None = None
    exact: bool = False
    sized: bool = False


@dataclass(frozen=True, slots=True)
class Dialect:
    """The words of one family of servers.

    Attributes:
        name: The family, for people.
        buckets: Limits in headers. Of one kind, the bucket of the shorter period comes first.
        charges: Headers that state the tokens charged for the answered call.
        codes: Codes that decide a meaning, whatever the status. Words of a kind are separated by blanks.
        types: Types that decide where the code does not.
        reasons: Reasons in an error's details that decide where the code does not.
        input_fields: Fields of an error's details that show, whatever the status, that the request's input was refused.
        throttles: Codes and types that show only that some limit refused.
        phrases: Expressions that decide, anywhere in the text of a 429.
        openings: Expressions that decide at the beginning of a text that came without a status.
        broke: Expressions of an account without credit, at the beginning of a text; anywhere in that of a 401, 402, 403
            or 429.
        misfits: Expressions of a request that can never pass, anywhere in the text of a 5xx.
        templates: Sentences that state limits.
        waits: Expressions that state a wait.
        wait_fields: Fields of an error's details, or headers of a 429, that state a wait; bare numbers are seconds.
        stated_headers: Headers of a refusal that templates read besides its text, as `name: value`.
    """

    name: str
    buckets: tuple[HeaderBucket, ...] = ()
    charges: tuple[str, ...] = ()
    codes: Mapping[Meaning, str] = field(default_factory=dict)
    types: Mapping[Meaning, str] = field(default_factory=dict)
    reasons: Mapping[Meaning, str] = field(default_factory=dict)
    input_fields: str = ""
    throttles: str = ""
    phrases: Mapping[Meaning, tuple[str, ...]] = field(default_factory=dict)
    openings: Mapping[Meaning, tuple[str, ...]] = field(default_factory=dict)
    broke: tuple[str, ...] = ()
    misfits: tuple[str, ...] = ()
    templates: tuple[Template, ...] = ()
    waits: tuple[str, ...] = ()
    wait_fields: str = ""
    stated_headers: str = ""


def named(kind: str, period_ms: int | None, pattern: str, *, shown_only: bool = False) -> HeaderBucket:
    """Return the bucket whose headers are named by one pattern, with `{}` for limit, remaining and reset."""
    limit, remaining, reset = (pattern.format(word) for word in ("limit", "remaining", "reset"))
    return HeaderBucket(kind, period_ms, limit, remaining, reset, shown_only)
