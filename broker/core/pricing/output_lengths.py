"""Lengths of recent outputs, from which the output of a call in flight is reserved.

By the law `usage` a server charges the output when a call ends. Until then its length is not known; what is reserved is
what four of five recent outputs were at most as long as.

The outputs of one prompt template are alike, those of two templates need not be: one classifies in 20 tokens, another
writes 600. So each template that requests name has lengths of its own. Its prior are the lengths of all calls of the
endpoint at that limit: it begins with `PRIOR_LENGTHS` of them, evenly spaced from short to long, as if they were its
own. After n answers the distribution that is reserved from is n / (n + k) its own and k / (n + k) the prior (the
posterior mean of a Dirichlet process with concentration k, the empirical-Bayes estimate of a distribution); after 64
the prior has left. Weighting the two quantiles instead would reserve 310 for a template that is 20 or 600 long.
"""

from collections import deque
from typing import Final

LENGTHS_MAX: Final = 64
EVALUATED_EVERY: Final = 16  # once there are `LENGTHS_MAX`, they are evaluated after every this many
STEP_PARTS: Final = 8  # the reservation changes only by more than one part in this many
PRIOR_LENGTHS: Final = 4  # k: more would keep a template at the endpoint's lengths for long, fewer leave it to chance
TEMPLATES_MAX: Final = 256  # of an endpoint at one limit: 600 KB once each has had 64 answers


class OutputLengths:
    """The output lengths of calls that reserve alike, in tokens.

    Attributes:
        reserved: What to reserve for the output of a call in flight; 0 before the first.
    """

    __slots__ = ("_lengths", "_seen", "reserved")

    def __init__(self, prior: "OutputLengths | None" = None) -> None:
        """`prior` are the lengths of all calls, of which these are a part."""
        self.reserved: int = 0 if prior is None else prior.reserved
        self._lengths: deque[int] = deque([] if prior is None else prior.sample(PRIOR_LENGTHS), maxlen=LENGTHS_MAX)
        self._seen = 0

    def record(self, output: int) -> None:
        """Learn from the output of a call that has ended."""
        self._lengths.append(output)
        self._seen += 1
        if self._seen < LENGTHS_MAX or self._seen % EVALUATED_EVERY == 0:
            reserved = sorted(self._lengths)[(len(self._lengths) - 1) * 4 // 5]
            if abs(reserved - self.reserved) * STEP_PARTS > self.reserved:
                self.reserved = reserved

    def sample(self, count: int) -> list[int]:
        """Return `count` of the lengths, evenly spaced from short to long; all, if there are no more."""
        ordered = sorted(self._lengths)
        count = min(count, len(ordered))
        return [ordered[(2 * place + 1) * len(ordered) // (2 * count)] for place in range(count)]


class OutputsByTemplate(OutputLengths):
    """The output lengths of one endpoint's calls and of each template among them, and what is reserved by them.

    A call in flight keeps what its template's lengths reserved when it was sent, since it has paid that. A call without
    a template, or with one that no answer has told of, reserves by the lengths of all; it is priced again when those
    change.
    """

    __slots__ = ("_calls", "_kept", "_templates")

    def __init__(self) -> None:
        """Begin without any answer."""
        super().__init__()
        self._templates: dict[bytes, OutputLengths] = {}  # the one answered longest ago is first
        self._calls = 0  # in flight that reserve by the lengths of all
        self._kept = 0  # tokens that the other calls in flight keep

    def of(self, template: bytes) -> OutputLengths:
        """Return the lengths by which a call of that template reserves; empty: it names none."""
        return self._templates.get(template, self) if template else self

    def outstanding(self) -> int:
        """Return what is reserved for the calls in flight."""
        return self._calls * self.reserved + self._kept

    def begin(self, template: bytes) -> int | None:
        """Reserve for a call that is sent; return what it keeps, None if it reserves by the lengths of all."""
        lengths = self.of(template)
        if lengths is self:
            self._calls += 1
            return None
        self._kept += lengths.reserved
        return lengths.reserved

    def end(self, kept: int | None) -> None:
        """Release what was reserved for a call, as `begin` has returned it."""
        if kept is None:
            self._calls -= 1
        else:
            self._kept -= kept

    def record(self, output: int, template: bytes = b"") -> None:
        """Learn from the output of a call that has ended."""
        if template:
            lengths = self._templates.pop(template, None) or OutputLengths(self)
            lengths.record(output)
            self._templates[template] = lengths
            if len(self._templates) > TEMPLATES_MAX:
                del self._templates[next(iter(self._templates))]
        super().record(output)
