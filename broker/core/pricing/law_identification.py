"""Identification of one endpoint's charge law from its calls and their answers.

Two kinds of answers are evidence of a charge. A refusal may name the server's own charge for the refused call, exactly
(`Requested`). And the remainders after two calls show what the server charged between them (debit_history.py). OpenAI's
laws charge at admission, and an answer's headers are as of then. By the law `usage` the input is charged at admission
and the output when the call ends, and the headers are as of the end, except for those of a stream, which come before
its answer. So that law has a debit history of its own.

`usage` must reserve tokens for the output while a call is in flight: `output_lengths` learns how many for each
template, from the calls that end here.

Comparing an answer with every law, over spans of every length, costs more than all else that the core does for a call.
So where a law is settled, only a few answers a second are examined, and those get a *glance*: whether the believed law
fits the shortest span, and at times whether it fits those of every length. The first answer that it does not fit is
compared with every law, and so are all after it until a law is settled again.
"""

from collections import deque
from itertools import islice
from typing import Final, NamedTuple

from headrace.broker.core.answers.refill_detection import BUCKET, RefillPattern
from headrace.broker.core.answers.rounding import Rounding
from headrace.broker.core.endpoints import Law, Shape, facts_of
from headrace.broker.core.pricing.charge_factor import PriceFactor
from headrace.broker.core.pricing.debit_history import DELAY_DIFFERENCES_MS, DebitHistory, DebitSpan
from headrace.broker.core.pricing.law_evidence import STATED_WEIGHT, LawEvidence
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.pricing.others_spending import OthersSpending
from headrace.broker.core.pricing.output_lengths import OutputsByTemplate
from headrace.broker.core.pricing.references import ReferenceKind
from headrace.broker.core.pricing.telling_spans import Columns, Judged, fitting_laws, most_telling, overcharges
from headrace.broker.core.pricing.uncapped_output import CHARGED, UncappedOutput
from headrace.broker.core.units import PPM, ROUNDING_TOKENS
from headrace.broker.core.value import value

PIECE_EVERY_MS: Final = 50  # a thousand answers a second show no more than twenty do
GLANCE_EVERY_MS: Final = 200  # where a law is settled
THOROUGH_EVERY: Final = 8  # one glance in this many covers every span: a wrong law may fit each short one of many calls
ERRORS_MAX: Final = 16
TOOL: Final = ReferenceKind.TOOL  # cheaper so, before Python 3.12
KNOWN_AFTER: Final = 16  # pieces of evidence; with fewer, the believed law explains no counter-evidence away


class Remaining(NamedTuple):
    """Tokens left in the bucket, as an answer states them, with the bucket's capacity and period."""

    tokens: int
    capacity: int
    period_ms: int


@value
class TokenUsage:
    """Tokens of a call, as its answer reports them.

    `reasoning` are those of the output that no later request reads again, `mark` is that of the answer's id
    (`headrace.broker.core.pricing.references`).
    """

    input: int
    output: int
    reasoning: int = 0
    mark: bytes = b""


@value
class Sent:
    """A call in flight: its prices, its numbers in the two debit histories, and what it keeps for its output."""

    prices: Prices
    admission: int
    usage: int = -1
    kept: int | None = None


class LawIdentification:
    """Collector of evidence from the outcomes of one endpoint's calls.

    Attributes:
        evidence: The resulting evidence.
        errors: Of the last answers that show it: the believed law's charge minus the server's, in tokens per call.
        errors_seen: The number of errors so far.
        outputs: What `usage` reserves for the outputs of calls in flight, and the lengths it learns that from.
        has_alternatives: Whether more than one law may hold.
        age_ms: By how much the levels that answers state may be older than their calls: as if delays differed by that.
    """

    def __init__(self, prices: Prices, believed: Law | None, *, of_all: bool = True, factor_ppm: int = PPM) -> None:
        """`prices` of any call of the endpoint; `believed` and `factor_ppm` are what a predecessor found.

        `of_all`: no call of another endpoint, or of a predecessor, has drawn on the limit.
        """
        self.evidence = LawEvidence(prices.laws, facts_of(prices.endpoint).recorded_law, believed)
        self.errors: deque[int] = deque(maxlen=ERRORS_MAX)
        self.errors_seen = self.age_ms = 0
        self.outputs = OutputsByTemplate()
        self._uncapped: UncappedOutput | None = None  # until a call without a cap needs it
        self.has_alternatives = len(prices.laws) > 1
        self._is_of_responses = facts_of(prices.endpoint).shape is Shape.RESPONSE
        self._laws = prices.laws
        self._usage_index = prices.laws.index(Law.USAGE) if Law.USAGE in prices.laws else None
        self._factor = None if factor_ppm == PPM else PriceFactor(self._usage_index, factor_ppm)  # until one is needed
        self._admissions = DebitHistory(len(prices.laws), of_all=of_all)
        # with the outputs, and without: a span that fits both shows nothing
        self._endings = DebitHistory(2, of_ends=True, of_all=of_all)
        self._limit: tuple[int, int] | None = None
        self._rounding = Rounding()
        self._heard_ms: int | None = None
        self._judged_ms = self._glances = 0
        self._ends_tell = True  # no server is known that settles a charge into a window that counts
        self._others: tuple[OthersSpending, OthersSpending] | None = None  # by history, once a law falls short
        # indices into `DELAY_DIFFERENCES_MS`: how far delays differ, there and back
        self._delay_index = self._back_delay_index = 0

    @property
    def settles(self) -> bool:
        """Whether a call is believed to be charged for its output when it ends."""
        return self.evidence.believed is Law.USAGE

    @property
    def factor_ppm(self) -> int:
        """The server's charges over those of every law but `usage`, in millionths."""
        return PPM if self._factor is None else self._factor.ppm

    def _factored(self, tokens: tuple[int, ...]) -> tuple[int, ...]:
        return tokens if self._factor is None else self._factor.applied_to(tokens)

    @property
    def charged_tokens(self) -> int:
        """The charges of the calls so far by the believed law; by the dearest while there is none."""
        costs, believed = self._costs(), self.evidence.believed
        return max(costs) if believed is None else costs[self._laws.index(believed)]

    @property
    def _known(self) -> bool:
        """Whether there is enough evidence for the believed law to explain some counter-evidence away."""
        return self.evidence.pieces >= KNOWN_AFTER

    def refill_by(self, pattern: RefillPattern, *, anew: bool) -> None:
        """Let used capacity return by this pattern; `anew`: what was taken for evidence rested on another one."""
        self._admissions.refill_by(pattern)
        self._ends_tell = pattern.refill is BUCKET
        if anew:
            self.evidence.restart()

    def is_due(self, now_ms: int) -> bool:
        """Return whether an answer that comes now is examined: one too soon after another is not."""
        return self._heard_ms is None or now_ms - self._heard_ms >= PIECE_EVERY_MS

    def record_send(self, prices: Prices, now_ms: int, unshown: int = 0) -> Sent:
        """Record the sending of a call; its `unshown` input is only an estimate, so it is no evidence for now."""
        kept = self.outputs.begin(prices.template)
        sure = prices.unshown is None
        charges = prices.tokens if sure else prices.with_input(unshown).tokens
        admission = self._admissions.debit(now_ms, self._factored(charges), sure=sure)
        if self._usage_index is None:
            return Sent(prices, admission, kept=kept)
        tokens = charges[self._usage_index]
        return Sent(prices, admission, self._endings.debit(now_ms, (tokens, tokens), sure=sure), kept)

    def charges_all_input(self, prices: Prices) -> bool:
        """Return whether all input of such a call is known to be charged at admission, shown or not.

        Only the Responses API is known to charge input that bodies do not show (facts/openai.md §2.2), tools aside.
        """
        if prices.unshown is None:
            return True
        return self._is_of_responses and all(each.kind is not TOOL for each in prices.unshown.references)

    def disclose(self, sent: Sent, prices: Prices) -> Sent:
        """Correct a call whose answer has told its whole input, so that it is evidence; return it with these prices.

        Where not all of it is known to be charged at admission the call remains no evidence, but for `usage`, which
        charges whatever is billed.
        """
        if self.charges_all_input(sent.prices):
            self._admissions.disclose(sent.admission, self._factored(prices.tokens))
        if self._usage_index is not None:
            tokens = prices.tokens[self._usage_index]
            self._endings.disclose(sent.usage, (tokens, tokens))
        return Sent(prices, sent.admission, sent.usage, sent.kept)

    def record_foreign_send(self, now_ms: int) -> None:
        """Record the sending of a call of another endpoint, which these laws do not price."""
        self._admissions.debit(now_ms, (0,) * len(self._laws), sure=False)
        self._endings.debit(now_ms, (0, 0), sure=False)

    def record_refusal(self, sent: Sent, *, charged: bool) -> None:
        """Record a refusal; the call was not charged, unless this server charges for refusals as well."""
        self.outputs.end(sent.kept)
        if not charged:
            self._admissions.strike(sent.admission)
            self._endings.strike(sent.usage)

    def record_loss(self, sent: Sent) -> None:
        """Record an end that does not tell whether the call was charged."""
        self.outputs.end(sent.kept)
        self._admissions.doubt(sent.admission)
        self._endings.doubt(sent.usage)

    def record_answer(
        self, sent: Sent, remaining: Remaining | None, usage: TokenUsage | None, now_ms: int, *, early: bool = False
    ) -> None:
        """Record an answer: what remained of the limit and what the call used, if it states them.

        `early`: the headers came when the answer began, so they are as of the call's admission by every law.
        """
        self.outputs.end(sent.kept)
        if usage is not None:
            covered = 0 if self._usage_index is None else sent.prices.covered
            self.outputs.record(max(0, usage.output - covered), sent.prices.template)
        ending, output = (-1, 0) if self._usage_index is None else self._settle(sent, self._usage_index, usage, now_ms)
        ending = sent.usage if early else ending if output else -1
        if not self.is_due(now_ms):
            return
        if remaining is None:
            self.evidence.record_silence()
            return
        self._heard_ms = now_ms
        if self._limit != remaining[1:]:
            self._limit, self._rounding = remaining[1:], Rounding()
            self._admissions.forget_remaining()
            self._endings.forget_remaining()
        self._learn_step(remaining, sent.prices)
        self._admissions.observe(sent.admission, remaining.tokens)
        if ending >= 0:  # otherwise the server has nothing to settle, and its figure may be as of the admission
            self._endings.observe(ending, remaining.tokens)
        if self._uncapped is not None and self._uncapped.stated and sent.prices.uncapped:
            span = next(self._admissions.spans(sent.admission, *remaining[1:]), None)
            self._uncapped.record_admission(self.evidence.believed, sent.prices, span)
        if not self.evidence.settled:
            self._judge(sent.admission, ending if ending >= 0 else None, remaining)
        elif now_ms - self._judged_ms >= GLANCE_EVERY_MS:
            self._judged_ms = now_ms
            self._glances += 1
            thorough = self._glances % THOROUGH_EVERY == 0
            tests_all = thorough and not self._known
            if tests_all or not self._fits(sent.admission, remaining, self._admissions.spans_max(thorough=thorough)):
                self._judge(sent.admission, ending if ending >= 0 else None, remaining)

    def _learn_step(self, remaining: Remaining, prices: Prices) -> None:
        """Learn how figures are rounded; what was taken for evidence rested on exact ones."""
        used = remaining.capacity - remaining.tokens
        self._rounding.observe(remaining.tokens, *self._factored(prices.tokens), used=used)
        if self._rounding.step != self._admissions.step:
            self._admissions.step = self._endings.step = self._rounding.step
            self.evidence.restart()

    def price(self, prices: Prices) -> int:
        """Return the amount to pay for a call before it is sent; what its body does not show is in the prices."""
        law = self.evidence.believed
        if law is None:
            return max(self._factored(prices.tokens))
        tokens = self._factored(prices.tokens)[prices.laws.index(law)]
        if law is Law.USAGE:
            return tokens + self.outputs.of(prices.template).reserved
        if not prices.uncapped or law not in CHARGED:
            return tokens
        return self._sizes().applied(law, tokens, prices.uncapped, self.outputs.of(prices.template))

    def least(self, prices: Prices) -> int:
        """Return the least charge by any law not refuted, without unshown input; as if the factor had gone, if less."""
        tokens = tuple(map(min, self._factored(prices.tokens), prices.tokens))
        return min(tokens[index] for index in self.evidence.possible())

    def uncapped_size(self) -> int:
        """Return the size that the server assumes for an output without a cap; 0 if no price depends on it."""
        return 0 if self._uncapped is None else self._uncapped.size(self.evidence.believed)

    def _sizes(self) -> UncappedOutput:
        self._uncapped = UncappedOutput(self.outputs) if self._uncapped is None else self._uncapped
        return self._uncapped

    def record_stated_charge(self, prices: Prices, requested: int, usage: TokenUsage | None = None) -> bool:
        """Process the server's own charge for a call; return whether any law that may hold explains it.

        `usage` is that of an answer: what is charged at the end is then known. A charge that no law explains may be due
        to an output without a cap.
        """
        charges = prices.tokens
        if usage is not None and self._usage_index is not None:
            charges = (*charges[: self._usage_index], usage.input + usage.output, *charges[self._usage_index + 1 :])
        if not prices.uncapped and prices.unshown is None:
            self._factor = PriceFactor(self._usage_index) if self._factor is None else self._factor
            before_ppm = self._factor.ppm
            if self._factor.record(charges, requested):  # what was debited before has it too
                self._admissions.reprice(self._factor.ppm, before_ppm)
        off = [tokens - requested for tokens in self._factored(charges)]
        is_exact = 0 in off  # then a law that is off by its rounding alone is not told apart, and gains nothing
        excesses = [
            (None if is_exact and tokens else 0) if abs(tokens) <= ROUNDING_TOKENS else tokens for tokens in off
        ]
        if self.evidence.believed is not None:
            self._note_error(off[self._laws.index(self.evidence.believed)])
        self.evidence.weigh(excesses, self._costs(), STATED_WEIGHT)
        explained, law = 0 in excesses, self.evidence.believed
        if not prices.uncapped or law is None or (explained and excesses[self._laws.index(law)]):
            return explained
        tokens = self._factored(prices.tokens)[self._laws.index(law)]
        return self._sizes().record_stated(law, tokens, prices.uncapped, requested) or explained

    def _settle(self, sent: Sent, index: int, usage: TokenUsage | None, now_ms: int) -> tuple[int, int]:
        """Debit the charge of `usage` at the end: the output and the input's pricing error; return the output too."""
        if usage is None:
            return self._endings.debit(now_ms, (0, 0), sure=False), 0
        prices = sent.prices
        output = usage.output - prices.covered if usage.output > prices.covered else 0
        wrong = usage.input + prices.covered - prices.tokens[index]
        return self._endings.debit(now_ms, (wrong + output, wrong)), output

    def _fits(self, admission: int, remaining: Remaining, spans_max: int) -> bool:
        """Return whether the believed law fits up to `spans_max` spans that end here; `usage` needs a closer look."""
        believed = self.evidence.believed
        assert believed is not None, "what is settled is believed"
        if believed is Law.USAGE:
            return False
        delay_ms = max(self.age_ms, DELAY_DIFFERENCES_MS[self._delay_index])
        spans = self._admissions.spans(admission, *remaining[1:], delay_ms)
        excesses = [span.excess(self._laws.index(believed)) for span in islice(spans, spans_max)]
        if not excesses or any(excesses):
            return False
        self._note_error(0)
        return True

    def _judge(self, admission: int, ending: int | None, remaining: Remaining) -> None:
        """Compare the spans that end here with every law."""
        columns = [None if index == self._usage_index else index for index in range(len(self._laws))]
        span, excesses = self._telling(admission, remaining, columns)
        spans = [span] * len(self._laws)
        if self._usage_index is not None:
            spans[self._usage_index] = ended = self._ended(ending, remaining.capacity, remaining.period_ms)
            excesses[self._usage_index] = None if ended is None else ended.excess(0)
        self.evidence.weigh(self._unspent(spans, excesses), self._costs())
        if self.evidence.believed is not None:
            index = self._laws.index(self.evidence.believed)
            excess, judged = excesses[index], spans[index]
            if excess is not None and judged is not None:
                self._note_error(excess // judged.calls if excess >= 0 else -(-excess // judged.calls))

    def _telling(self, admission: int, remaining: Remaining, columns: Columns) -> Judged:
        """Return the most telling span that ends with an admission, and each law's excess in it.

        A call that was overtaken on its way counts in a short span although it had not arrived yet, so the believed law
        charges too much. In a long span it is one call of many, and the difference between laws grows with every call.
        So where the believed law alone fits two longer spans (others' spending can make it fit one), and delays explain
        the short one at all, they differ by more than was assumed, and all spans are examined again.
        """
        _, capacity, period_ms = remaining
        believed = self.evidence.believed
        index = None if believed is None or not self._known else self._laws.index(believed)
        while True:
            delay_ms = max(self.age_ms, DELAY_DIFFERENCES_MS[self._delay_index])
            judged = most_telling(self._admissions.spans(admission, capacity, period_ms, delay_ms), columns)
            if index is None or (judged[1][index] or 0) <= 0 or delay_ms >= DELAY_DIFFERENCES_MS[-1]:
                return judged
            spans = self._admissions.spans(admission, capacity, period_ms, delay_ms)
            loosest = self._admissions.spans(admission, capacity, period_ms, DELAY_DIFFERENCES_MS[-1])
            if overcharges(loosest, index) or sum(fitting_laws(span, columns) == {index} for span in spans) < 2:
                return judged
            self._delay_index += 1

    def _unspent(self, spans: list[DebitSpan | None], excesses: list[int | None]) -> list[int | None]:
        """Return the excesses that count once a law is known: see `OthersSpending`."""
        believed = self.evidence.believed
        if believed is None or not self._known:
            return excesses
        index = self._laws.index(believed)
        if self._others is None and (excesses[index] or 0) >= 0:
            return excesses
        self._others = self._others or (OthersSpending(), OthersSpending())
        return self._others[index == self._usage_index].unspent(spans[index], excesses, index)

    def _ended(self, ending: int | None, capacity: int, period_ms: int) -> DebitSpan | None:
        """Return the shortest span ending with a call's end that would show it if no output had been charged.

        The delays of answers differ as well: if `usage` is believed and fits only a longer span, they differ by more
        than was assumed.
        """
        while ending is not None and self._ends_tell:
            delay_ms = DELAY_DIFFERENCES_MS[self._back_delay_index]
            noticed = (span for span in self._endings.spans(ending, capacity, period_ms, delay_ms) if span.excess(1))
            shortest = next(noticed, None)
            if shortest is None or not shortest.excess(0) or delay_ms == DELAY_DIFFERENCES_MS[-1]:
                return shortest
            if not self.settles or not self._known or all(span.excess(0) for span in noticed):
                return shortest
            self._back_delay_index += 1
        return None

    def _costs(self) -> list[int]:
        """Return the charges so far by each law."""
        costs = list(self._admissions.totals())
        if self._usage_index is not None:
            costs[self._usage_index] = self._endings.totals()[0]
        return costs

    def _note_error(self, tokens: int) -> None:
        self.errors.append(tokens)
        self.errors_seen += 1
