"""From the calls and answers of one endpoint to evidence of its charge law.

Two kinds of answers speak of a charge. A refusal may name the server's own charge for the refused call, exactly
(`Requested`). And what remained after two calls tells what the server took between them (course.py). OpenAI's laws take
a charge at admission, and an answer's headers are as of then. By the law `usage` the input is taken at admission and
the output when the call ends, and the headers are as of the end, but a stream's, which come before its answer. So
that law has a course of its own.

How long outputs are is learned here too, since `usage` must hold something for them while a call is in flight.

To hold an answer against every law, over spans of every length, costs more than all else the core does for a call.
So where a law is settled, only a few answers a second are looked at, and those get a *glance*: whether the believed law
fits the shortest span, and now and then whether it fits those of every length. The first that it does not fit is held
against every law, and so are all after it until a law is settled again.
"""

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Final, NamedTuple

from broker.core.pricing.debit_history import SPANS_MAX, WAYS_MS, DebitHistory, DebitSpan
from broker.core.pricing.law_evidence import STATED_WEIGHT, LawEvidence
from broker.core.pricing.laws import Law, Prices, recorded_law
from broker.core.units import ROUNDING_TOKENS
from broker.core.value import value

PIECE_EVERY_MS: Final = 50  # a thousand answers a second tell no more than twenty do
GLANCE_EVERY_MS: Final = 200  # where a law is settled
THOROUGH_EVERY: Final = 8  # of so many glances one is at every span: a wrong law may fit each short one of many calls
ERRORS_MAX: Final = 16
OUTPUTS_MAX: Final = 64
OUTPUTS_EVERY: Final = 16  # once there are many, they are looked at again after so many more
KNOWN_AFTER: Final = 16  # pieces of evidence; a law that is believed sooner explains nothing away
OUTPUT_STEP_PARTS: Final = 8  # what is held for an output changes only by more than one part in so many


Columns = list[int | None]
"""Where on the course each law's charges stand; None: not on that course."""
Judged = tuple[DebitSpan | None, list[int | None]]


class Remaining(NamedTuple):
    """What an answer says was left in the bucket of tokens, of how many, that fills in how long."""

    tokens: int
    capacity: int
    period_ms: int


@value
class Usage:
    """Tokens of a call, as its answer reports them."""

    input: int
    output: int


@value
class Sent:
    """A call in flight: its prices, and its places on the two courses."""

    prices: Prices
    admission: int
    usage: int = -1


class LawIdentification:
    """Hears what becomes of the calls of one endpoint.

    Attributes:
        evidence: What it amounts to.
        errors: Of the last answers that tell: what the believed law takes more than the server did, in tokens a call.
        errors_seen: How many there ever were.
        output_held: What `usage` holds for the output of a call in flight: four of five were at most as long.
        open: Calls in flight.
        chosen: Whether more than one law may hold.
    """

    def __init__(self, prices: Prices, believed: Law | None) -> None:
        """`prices` of any call of the endpoint; `believed` is what a predecessor found."""
        self.evidence = LawEvidence(prices.laws, recorded_law(prices.endpoint), believed)
        self.errors: deque[int] = deque(maxlen=ERRORS_MAX)
        self.errors_seen = 0
        self.output_held = 0
        self.open = 0
        self.chosen = len(prices.laws) > 1
        self._laws = prices.laws
        self._usage_place = prices.laws.index(Law.USAGE) if Law.USAGE in prices.laws else None
        self._admissions = DebitHistory(len(prices.laws))
        self._endings = DebitHistory(
            2, of_ends=True
        )  # with the outputs, and without: a span that fits both says nothing
        self._limit: tuple[int, int] | None = None
        self._heard_ms: int | None = None
        self._judged_ms = 0
        self._glances = 0
        self._outputs: deque[int] = deque(maxlen=OUTPUTS_MAX)
        self._outputs_seen = 0
        self._spent = [-1, -1]  # by course: with which debit the last span ended that others have spent in, as it seems
        self._way = self._way_back = 0  # places in `WAYS_MS`: by so much the ways differ, there and back

    @property
    def settles(self) -> bool:
        """Whether a call is believed to be charged for its output when it ends."""
        return self.evidence.believed is Law.USAGE

    @property
    def charged_tokens(self) -> int:
        """What the calls so far have been charged by the believed law; by the dearest while none is."""
        costs, believed = self._costs(), self.evidence.believed
        return max(costs) if believed is None else costs[self._laws.index(believed)]

    @property
    def _known(self) -> bool:
        """Whether so much was heard that the believed law explains some of what speaks against it away."""
        return self.evidence.pieces >= KNOWN_AFTER

    def is_due(self, now_ms: int) -> bool:
        """Whether an answer that comes now is looked at: the next so soon after another is not."""
        return self._heard_ms is None or now_ms - self._heard_ms >= PIECE_EVERY_MS

    def sent(self, prices: Prices, now_ms: int) -> Sent:
        """A call leaves now."""
        self.open += 1
        admission = self._admissions.debit(now_ms, prices.tokens)
        if self._usage_place is None:
            return Sent(prices, admission)
        tokens = prices.tokens[self._usage_place]
        return Sent(prices, admission, self._endings.debit(now_ms, (tokens, tokens)))

    def passed(self, now_ms: int) -> None:
        """A call of another endpoint leaves now, whose law is none of ours."""
        self._admissions.debit(now_ms, (0,) * len(self._laws), sure=False)
        self._endings.debit(now_ms, (0, 0), sure=False)

    def refused(self, sent: Sent, *, charged: bool) -> None:
        """A call was refused; it took nothing, unless this server charges for that as well."""
        self.open -= 1
        if not charged:
            self._admissions.strike(sent.admission)
            self._endings.strike(sent.usage)

    def lost(self, sent: Sent) -> None:
        """A call ended in a way that does not tell whether it was charged."""
        self.open -= 1
        self._admissions.doubt(sent.admission)
        self._endings.doubt(sent.usage)

    def answered(
        self, sent: Sent, remaining: Remaining | None, usage: Usage | None, now_ms: int, *, early: bool = False
    ) -> None:
        """A call was answered: what remained of the limit and what it used, if the answer says so.

        `early`: that was said when the answer began, so it is as of the call's admission by every law.
        """
        self.open -= 1
        ending, output = (-1, 0) if self._usage_place is None else self._settle(sent, self._usage_place, usage, now_ms)
        ending = sent.usage if early else ending if output else -1
        if not self.is_due(now_ms):
            return
        if remaining is None:
            self.evidence.silence()
            return
        self._heard_ms = now_ms
        if self._limit != remaining[1:]:
            self._limit = remaining[1:]
            self._admissions.forget_remaining()
            self._endings.forget_remaining()
        self._admissions.observe(sent.admission, remaining.tokens)
        if ending >= 0:  # else the server has nothing to settle, and its figure may be as of the admission
            self._endings.observe(ending, remaining.tokens)
        if not self.evidence.settled:
            self._judge(sent.admission, ending if ending >= 0 else None, remaining)
        elif now_ms - self._judged_ms >= GLANCE_EVERY_MS:
            self._judged_ms = now_ms
            self._glances += 1
            thorough = self._glances % THOROUGH_EVERY == 0
            tests_all = thorough and not self._known
            if tests_all or not self._glance(sent.admission, remaining, SPANS_MAX if thorough else 1):
                self._judge(sent.admission, ending if ending >= 0 else None, remaining)

    def stated(self, prices: Prices, requested: int) -> bool:
        """The server names its own charge for a call; whether any law that may hold explains it."""
        off = [tokens - requested for tokens in prices.tokens]
        excesses = [0 if abs(tokens) <= ROUNDING_TOKENS else tokens for tokens in off]
        if self.evidence.believed is not None:
            self._note_error(off[self._laws.index(self.evidence.believed)])
        self.evidence.weigh(excesses, self._costs(), STATED_WEIGHT)
        return 0 in excesses

    def _settle(self, sent: Sent, place: int, usage: Usage | None, now_ms: int) -> tuple[int, int]:
        """Debit what `usage` takes at the end: the output, and what the input was mispriced by; the output as well."""
        if usage is None:
            return self._endings.debit(now_ms, (0, 0), sure=False), 0
        prices = sent.prices
        output = usage.output - prices.covered if usage.output > prices.covered else 0
        wrong = usage.input + prices.covered - prices.tokens[place]
        self._outputs.append(output)
        self._outputs_seen += 1
        if self._outputs_seen < OUTPUTS_MAX or self._outputs_seen % OUTPUTS_EVERY == 0:
            held = sorted(self._outputs)[(len(self._outputs) - 1) * 4 // 5]
            if abs(held - self.output_held) * OUTPUT_STEP_PARTS > self.output_held:
                self.output_held = held
        return self._endings.debit(now_ms, (wrong + output, wrong)), output

    def _glance(self, admission: int, remaining: Remaining, spans_max: int) -> bool:
        """Whether the believed law fits so many spans that end here. What `usage` says takes a closer look."""
        believed = self.evidence.believed
        assert believed is not None, "what is settled is believed"
        if believed is Law.USAGE:
            return False
        spans = self._admissions.spans(admission, *remaining[1:], WAYS_MS[self._way])
        excesses = [span.excess(self._laws.index(believed)) for span in islice(spans, spans_max)]
        if not excesses or any(excesses):
            return False
        self._note_error(0)
        return True

    def _judge(self, admission: int, ending: int | None, remaining: Remaining) -> None:
        """Hold the spans that end here against every law."""
        _, capacity, period_ms = remaining
        columns = [None if place == self._usage_place else place for place in range(len(self._laws))]
        span, excesses = self._telling(admission, remaining, columns)
        spans = [span] * len(self._laws)
        if self._usage_place is not None:
            ended = self._ended(ending, capacity, period_ms)
            spans[self._usage_place] = ended
            excesses[self._usage_place] = None if ended is None else ended.excess(0)
        self.evidence.weigh(self._unspent(spans, excesses), self._costs())
        if self.evidence.believed is not None:
            place = self._laws.index(self.evidence.believed)
            excess, judged = excesses[place], spans[place]
            if excess is not None and judged is not None:
                self._note_error(excess // judged.calls if excess >= 0 else -(-excess // judged.calls))

    def _telling(self, admission: int, remaining: Remaining, columns: Columns) -> Judged:
        """The most telling span that ends with an admission, and by how much each law exceeds what was taken in it.

        A call that was overtaken on its way is in a short span though it was not there yet, and the believed law takes
        too much. To a long span it is one call of many, and laws part with every call. So where the believed law alone
        fits longer spans, the ways differ by more than we took them to, and all is looked at again. One such span is
        not enough: what others spend can make it fit.
        """
        _, capacity, period_ms = remaining
        believed = self.evidence.believed
        place = None if believed is None or not self._known else self._laws.index(believed)
        while True:
            way_ms = WAYS_MS[self._way]
            judged = _most_telling(self._admissions.spans(admission, capacity, period_ms, way_ms), columns)
            if place is None or (judged[1][place] or 0) <= 0 or way_ms == WAYS_MS[-1]:
                return judged
            spans = self._admissions.spans(admission, capacity, period_ms, way_ms)
            if sum(_fitting(_excesses(span, columns)) == {place} for span in spans) < 2:
                return judged
            self._way += 1

    def _unspent(self, spans: list[DebitSpan | None], excesses: list[int | None]) -> list[int | None]:
        """What counts of that once a law is known: what others have spent once speaks once for a dearer law.

        Every span that it lies in is too long for the believed law, and one time or another a dearer law fits by luck.
        """
        believed = self.evidence.believed
        place = None if believed is None or not self._known else self._laws.index(believed)
        if place is None or (excesses[place] or 0) >= 0:
            return excesses
        span, course = spans[place], int(place == self._usage_place)
        if span is not None and span.start >= self._spent[course]:
            self._spent[course] = span.end
            return excesses
        return [excess if excess is not None and excess > 0 else None for excess in excesses]

    def _ended(self, ending: int | None, capacity: int, period_ms: int) -> DebitSpan | None:
        """The shortest span that ends with a call's end and in which it would be noticed had no output been taken.

        The ways back differ as well: if `usage` is believed and fits a longer span, by more than we took them to.
        """
        while ending is not None:
            way_ms = WAYS_MS[self._way_back]
            noticed = (span for span in self._endings.spans(ending, capacity, period_ms, way_ms) if span.excess(1))
            shortest = next(noticed, None)
            if shortest is None or not shortest.excess(0) or way_ms == WAYS_MS[-1]:
                return shortest
            if not self.settles or not self._known or all(span.excess(0) for span in noticed):
                return shortest
            self._way_back += 1
        return None

    def _costs(self) -> list[int]:
        """What each law has charged so far."""
        costs = list(self._admissions.totals())
        if self._usage_place is not None:
            costs[self._usage_place] = self._endings.totals()[0]
        return costs

    def _note_error(self, tokens: int) -> None:
        self.errors.append(tokens)
        self.errors_seen += 1


def _most_telling(spans: Iterable[DebitSpan], columns: Columns) -> Judged:
    """The span that leaves the fewest laws: a longer one tells more, unless it contradicts a shorter one."""
    best: Judged = None, [None] * len(columns)
    left: set[int] = set()
    for span in spans:
        excesses = _excesses(span, columns)
        fits = _fitting(excesses)
        if best[0] is None or (fits and fits < left):
            best, left = (span, excesses), fits
        if len(left) <= 1:
            break
    return best


def _excesses(span: DebitSpan, columns: Columns) -> list[int | None]:
    return [None if column is None else span.excess(column) for column in columns]


def _fitting(excesses: list[int | None]) -> set[int]:
    return {place for place, excess in enumerate(excesses) if excess == 0}
