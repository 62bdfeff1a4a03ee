"""Calibration of one limit's budget: what the answers to its calls teach.

An answer is evidence of five things, taken in this order by `Budget.record_answer`:

1. sizes of buckets, which are not believed at once (size_credence.py);
2. the charge: the input that its body does not show, the law that explains it, or a markup where none does
   (`headrace.broker.core.pricing`);
3. the burst that the server tolerates (burst_control.py), and when a refused call may be tried again (cooldown.py);
4. the levels of the buckets that it describes (bucket_set.py);
5. the delay until a call is admitted (admission_delay.py), or the tokens that other clients took.
"""

from collections.abc import Collection, Sequence
from functools import partial
from typing import Final

from headrace.broker.core.answers.meaning import ADMITTED
from headrace.broker.core.answers.rate_limit_headers import DAY_MS, MINUTE_MS, TOKENS, LimitMetric, Reading, Snapshot
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.budget.admission_delay import AdmissionDelay
from headrace.broker.core.budget.bucket_set import BucketSet
from headrace.broker.core.budget.burst_control import BurstControl
from headrace.broker.core.budget.charged_shares import ChargedShares
from headrace.broker.core.budget.checkpoint import Checkpoint
from headrace.broker.core.budget.cooldown import Cooldown
from headrace.broker.core.budget.learned_limits import LearnedLimits
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.budget.level_reach import LevelReaches
from headrace.broker.core.budget.limit_settings import LimitBeliefs
from headrace.broker.core.budget.refusals import is_explained
from headrace.broker.core.budget.reservation import Reservation
from headrace.broker.core.budget.sent_calls import AdmissionOrder, SentCalls
from headrace.broker.core.budget.side_limits import SideLimits
from headrace.broker.core.budget.size_credence import SizeCredence
from headrace.broker.core.budget.unshown_window import UnshownWindow
from headrace.broker.core.pricing.law_identification import TokenUsage
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.pricing.markup import Markup
from headrace.broker.core.pricing.tariff import Tariff
from headrace.broker.core.pricing.unshown_input import KnownReferences, UnshownInput
from headrace.broker.core.units import PPM

SHOWN_PPM: Final = 970_000  # of the markup; a greater share is not told apart from the rounding of our charges
SHOWN_STEPS: Final = 100  # a share that differs by less than one part in this many is not worth pricing all calls anew
UNSETTLED_PARTS: Final = 4  # one part in so many of a bucket is kept for outputs: they end one by one, and it refills


class Calibration:
    """Corrections of one limit's buckets and prices.

    Attributes:
        tariff: The prices of its calls.
        burst: The burst that is spent, of the shortest bucket of tokens; None while no such bucket is known.
        cooldown: The time for which a refused call is not tried again.
        sizes: The sizes that are believed.
        sides: The limits that count neither tokens nor requests.
    """

    def __init__(  # noqa: PLR0913 — one of them keyword-only
        self,
        settings: LimitBeliefs,
        buckets: BucketSet,
        sends: SentCalls,
        checkpoint: Checkpoint | None,
        now_ms: int,
        *,
        known: KnownReferences | None = None,
    ) -> None:
        """Begin with what `checkpoint` and the operator say; `sends` are the calls that drew on the buckets.

        `known` is what references of all limits carry.
        """
        self._settings = settings
        self._buckets = buckets
        self.sides = SideLimits(sends)
        self._sends = sends
        self._delay = AdmissionDelay()  # as buckets of tokens show it
        self._delay_of_calls: AdmissionDelay | None = None  # as those of calls do, once there are any
        self._means_input = False  # the operator's figure of tokens is one of input
        self._markup = Markup()
        self._shares: ChargedShares | None = None  # until a level is shown
        laws, factors = (None, None) if checkpoint is None else (checkpoint.laws, checkpoint.factors)
        unshown = UnshownInput(known, checkpoint.unshown if checkpoint is not None else None)
        self.tariff = Tariff(
            laws,
            factors=factors,
            period_ms=settings.period_ms,
            refusals_charged=settings.refusals_charged,
            unshown=unshown,
        )
        self.burst: BurstControl | None = None
        self.cooldown = Cooldown()
        self.sizes = SizeCredence((settings.tokens, settings.per_day(TOKENS)))
        self._reaches: LevelReaches | None = None  # until an answer shows a level
        self._window: UnshownWindow | None = None  # until a call is refused
        self.excess = self._buckets_made = 0  # excess: what the last answer's call paid beyond its charge, or below 0
        self.repriced_ppm = PPM  # what recent calls pay now, of what they paid before the last answer
        if checkpoint is not None:
            self._inherit(checkpoint, now_ms)
        for metric, capacity in ((LimitMetric.TOKENS, settings.tokens), (LimitMetric.REQUESTS, settings.requests)):
            if capacity is not None:
                buckets.believe(metric, capacity, settings.period_ms, now_ms)
        for metric in LimitMetric:
            if (capacity := settings.per_day(metric)) is not None:
                buckets.believe(metric, capacity, DAY_MS, now_ms, follow=True)
        self.keep_step(now_ms)
        if checkpoint is not None:
            self._inherit_burst(checkpoint)

    def _inherit(self, checkpoint: Checkpoint, now_ms: int) -> None:
        """Adopt levels and markup, without credit for the time since: another term may have spent any part of it."""
        for level in checkpoint.levels:
            is_full_minute = level.metric is TOKENS and (level.low, level.period_ms) == (level.capacity, MINUTE_MS)
            if is_full_minute and checkpoint.sides and self._settings.tokens is None:
                continue  # perhaps the operator's cap, see `operators_level`; the server shows its own again
            self._buckets.inherit(level, now_ms)
            if level.metric is TOKENS:
                self.sizes.inherit(level.capacity, level.period_ms, project=level.project)
        self.sides.inherit(checkpoint.sides, now_ms)
        self._markup = Markup(checkpoint.markup_ppm)

    def _inherit_burst(self, checkpoint: Checkpoint) -> None:
        """Adopt the burst that the server was seen to tolerate, so that it need not be learned again."""
        if self.burst is not None:
            self.burst.inherit(checkpoint.tolerated_burst_tokens, checkpoint.burst_ceiling_tokens)

    def to_pay(self, charge: int, *, stated: bool) -> int:
        """Return a charge, marked up unless the server has stated it, and at most what puts a bucket into full debt."""
        paid = charge if stated else self._markup.applied(charge)
        payable_max = self._buckets.payable_max
        return paid if payable_max is None or paid <= payable_max else payable_max

    @property
    def unproven_sizes(self) -> Collection[int]:
        """The sizes of tokens that slow calls down, and fail no request."""
        reached = () if self._reaches is None else self._reaches.sizes
        return (*self.sizes.unproven_sizes, *reached) if reached else self.sizes.unproven_sizes

    @property
    def markup_ppm(self) -> int:
        """The ratio of the server's charges to ours where no law explains them."""
        return self._markup.ppm

    @property
    def in_step(self) -> bool:
        """Whether the burst control follows the buckets that there are."""
        return self._buckets.made == self._buckets_made

    def keep_step(self, now_ms: int) -> None:
        """Keep the burst control in step with the shortest bucket of tokens."""
        if not self.in_step:
            self._buckets_made = self._buckets.made
            for metric in {mirror.metric for mirror in self._buckets}:
                self._delay_of(metric).adapt_to(min(mirror.period_ms for mirror in self._buckets.of(metric)))
        shortest = self._buckets.shortest()
        if shortest is None:
            self.burst = None  # the last bucket was removed as disproved
        elif self.burst is None:
            self.burst = BurstControl(shortest.capacity, shortest.period_ms, now_ms, self._settings.burst_ms)
        else:
            self.burst.adopt_capacity(shortest.capacity, shortest.period_ms, now_ms)

    def learned_limits(self) -> LearnedLimits:
        """Return what answers have taught about the server's tolerance."""
        if self.burst is None:
            return LearnedLimits(self._delay.ms, 0, None, PPM)
        return LearnedLimits(self._delay.ms, self.burst.tolerated_burst, self.burst.ceiling, self.burst.share_ppm)

    # ------------------------------------------------------------------ the lessons of one answer

    def believable(self, attempt: int, call: Reservation, verdict: Verdict, now_ms: int) -> Verdict:
        """Return the verdict without the sizes that are not believed; the buckets of disproved ones are dropped."""
        least = partial(self.tariff.least_of, attempt)
        verdict = self.sizes.believable(verdict, least)
        for size, former in self.sizes.disproved.items():
            self._buckets.disown(size, former, call.number, now_ms)
        if not verdict.readings and not verdict.side_readings:
            return verdict
        self._reaches = self._reaches or LevelReaches()
        verdict = self._reaches.corrected(verdict, least, call.sent_ms, self._sends)
        self._buckets.coarse, self._buckets.guessed = self._reaches.coarse, self._reaches.guessed
        return verdict

    def learn_charge(
        self, attempt: int, call: Reservation, verdict: Verdict, usage: TokenUsage | None, now_ms: int
    ) -> bool:
        """Learn prices and markup, and price the calls sent again where they change.

        Return whether levels may have changed by that.
        """
        version, law_version, before_ppm = self.tariff.version, self.tariff.law_version, self._markup.ppm
        estimates_version = self.tariff.estimates_version
        self.repriced_ppm, self.excess = PPM, 0
        if self._buckets.token_pattern is not None:
            self.tariff.refill_by(self._buckets.token_pattern)
        self.tariff.capacity, self.tariff.age_ms = self._buckets.token_capacity, self._buckets.age_ms
        requested, explained = self.tariff.observe(attempt, verdict, usage, now_ms)
        self._bound_markup()
        if requested and not call.stated:
            self._markup.learn(call.charge, requested, explained=explained)
        is_repriced = self.tariff.version != version
        corrected = self._settle(call, verdict, now_ms)
        if self.tariff.estimates_version != estimates_version:
            corrected += self._sends.reprice_unanswered(self._price)
        if corrected:
            self._buckets.correct(corrected, now_ms)
        if is_repriced:
            if self.tariff.law_version != law_version:
                self._markup, self._shares = Markup(), None
                self._buckets.judge_anew(now_ms)
            before = self._sends.recent_tokens()
            self._sends.reprice_by(self._price)
            self.repriced_ppm = self._sends.recent_tokens() * PPM // before if before else PPM
            before_ppm = self._markup.ppm
            self._buckets.reprice(owes=self.tariff.settles_any)
            self._delay.judge_anew()
        if self._markup.ppm != before_ppm:
            self._sends.reprice(self._markup.ppm, before_ppm)
            self.repriced_ppm = self.repriced_ppm * self._markup.ppm // before_ppm
            self._buckets.reprice(owes=self.tariff.settles_any)
        return is_repriced or bool(corrected) or self.excess != 0

    def _bound_markup(self) -> None:
        """Price calls no higher than the levels of windows have shown them to be charged."""
        shown = None if self._shares is None else self._shares.ppm
        if shown is None or shown * PPM > SHOWN_PPM * self._markup.stated_ppm:
            self._markup.bound(None)
        elif abs(shown - self._markup.ppm) * SHOWN_STEPS > self._markup.ppm:
            self._markup.bound(shown)

    def _price(self, prices: Prices) -> int:
        return self.to_pay(self.tariff.price(prices), stated=False)

    def _settle(self, call: Reservation, verdict: Verdict, now_ms: int) -> list[tuple[int, int]]:
        """Let a call pay its charge, once its answer has told that: see `SentCalls.reprice_unanswered`."""
        charged, disclosed = self.tariff.charged, self.tariff.disclosed
        if call.stated or charged is None:
            return []
        paid = self.to_pay(charged, stated=False)
        self.excess = call.paid - paid
        if self.burst is not None and self.excess and call.burst:
            self.burst.correct(self.excess, call.sent_ms, now_ms)
        if self._alone_tells_output(call, verdict):
            excess = self._sends.disclose(call.number, None, paid)
        elif disclosed is not None:
            excess = self._sends.disclose(call.number, disclosed, self._price(disclosed))
        else:
            return []
        return [(call.number, excess)] if excess else []

    def _alone_tells_output(self, call: Reservation, verdict: Verdict) -> bool:
        """Return whether no level will correct the output that a call paid in advance.

        Four of five outputs are shorter than what is reserved, so calls would pay too much for ever.
        """
        return self.tariff.settles(call.endpoint) and all(reading.metric is not TOKENS for reading in verdict.readings)

    def _learn_window(self, call: Reservation, verdict: Verdict, now_ms: int) -> None:
        """Learn whether tokens that no header shows count in a sliding window: see `unshown_window`."""
        if verdict.meaning is Meaning.RATE_LIMITED:
            self._window = self._window or UnshownWindow(self._settings, self._buckets, self._sends)
            if verdict.states_limits:  # a front does not
                self._sends.record_refusal(now_ms - call.sent_ms)
        if self._window is not None and self._window.observe(call, verdict, now_ms):
            self.burst = None  # refusals that the window explains say nothing of bursts

    def learn_burst(self, call: Reservation, verdict: Verdict, now_ms: int) -> None:
        """Learn from an admission (or a 400: it is charged too, as recorded) or a refusal what burst is tolerated."""
        self._learn_window(call, verdict, now_ms)
        if verdict.meaning in ADMITTED:
            if self.cooldown.active:
                self.cooldown.record_admission(call.sent_ms)
            if self.burst is not None and call.burst > self.burst.tolerated_burst:
                self.burst.record_admission(call.burst, call.sent_ms)
        elif self.burst is not None and verdict.meaning is Meaning.RATE_LIMITED:
            if not call.burst:
                return  # a measured rate paced it
            if is_explained(call, verdict):
                self.burst.restart(call.sent_ms, now_ms)
            elif not call.held:  # otherwise it says nothing of what the mirrors let pass
                self.burst.record_refusal(call.burst, call.paid, call.sent_ms, now_ms)

    def take_back_cuts(self, now_ms: int) -> None:
        """Spend the whole rate: a cap of a span explains the refusals for which it was cut, and holds from now on."""
        if self.burst is not None:
            self.burst.take_back_cuts(now_ms)

    def correct_levels(self, call: Reservation, verdict: Verdict, now_ms: int) -> bool:
        """Correct every bucket that an answer describes; return whether each reading of tokens and requests agreed."""
        stated = verdict.snapshot
        if self.sides or verdict.side_limit is not None or verdict.side_readings:
            self._learn_sides(call, verdict, now_ms)
        tells = stated is not None or bool(verdict.readings or verdict.side_readings)
        if tells or self._buckets.shows_tokens:  # by what is believed before the answer corrects it
            self._buckets.make_room(call, verdict, now_ms)
        if stated is not None:
            order = self._order(call, stated.metric, now_ms)
            error = self._buckets.observe_refusal(stated, self._left(call, stated), order)
            self._learn_delay(stated.metric, error, now_ms)
        return not tells or self._correct_shown(call, verdict, now_ms)

    def _correct_shown(self, call: Reservation, verdict: Verdict, now_ms: int) -> bool:
        """Correct the buckets that headers show and the refusal does not name; return whether each reading agreed."""
        stated, agreed = verdict.snapshot, True
        self._buckets.hear_times(verdict.readings)
        shown = [(reading, False) for reading in verdict.readings]
        of_account = len(shown)
        if verdict.side_readings:
            shown += [(reading, True) for side in verdict.side_readings if (reading := side.of_project()) is not None]
        if shown:
            self._buckets.record_project(shown=len(shown) > of_account)
        for reading, project in shown:
            if stated is None or stated.metric is not reading.metric or stated.project is not project:
                missing = 0
                if reading.metric is TOKENS:
                    missing = self._left_out(call, now_ms, early=verdict.early)
                    missing = min(missing, self._unsettled_max(reading))
                order = self._order(call, reading.metric, now_ms)
                error = self._buckets.observe_headers(reading, order, missing, project=project)
                agreed = agreed and error == 0
                self._learn_delay(reading.metric, error, now_ms)
        if verdict.meaning in ADMITTED:
            self._learn_share(call, verdict.readings, now_ms)
        return agreed

    def _unsettled_max(self, reading: Reading) -> int:
        """Return how much of a shown limit is kept at most for what calls in flight are still to be charged.

        A short one is filled again while they last; of a minute's little has come back by then.
        """
        shown = (mirror for mirror in self._buckets.of(TOKENS) if mirror.capacity == reading.capacity)
        return reading.capacity // (UNSETTLED_PARTS if any(each.period_ms < MINUTE_MS for each in shown) else 1)

    def _learn_share(self, call: Reservation, readings: Sequence[Reading], now_ms: int) -> None:
        """Learn from the levels of windows how much of our charges they count at most: see `charged_shares`."""
        levels = {reading.capacity: reading.remaining for reading in readings if reading.metric is TOKENS}
        prices = self._sends.prices_of(call.number)
        if not levels or prices is None:
            return
        self._shares = self._shares or ChargedShares()
        stated = [mirror for mirror in self._buckets.of(TOKENS) if mirror.capacity not in self._buckets.guessed]
        order, oldest_ms = self._order(call, TOKENS, now_ms), self._sends.oldest_open_ms(call.sent_ms)
        self._shares.observe(stated, self.tariff.price(prices), levels, order, oldest_ms)

    def _delay_of(self, metric: LimitMetric) -> AdmissionDelay:
        if metric is TOKENS:
            return self._delay
        self._delay_of_calls = self._delay_of_calls or AdmissionDelay()
        return self._delay_of_calls

    def _order(self, call: Reservation, metric: LimitMetric, now_ms: int) -> AdmissionOrder:
        """Return the order of admission around a call, by the delay that the buckets of a metric have shown."""
        return self._sends.admission_order(call.number, call.sent_ms, now_ms, self._delay_of(metric).ms)

    def _learn_sides(self, call: Reservation, verdict: Verdict, now_ms: int) -> None:
        """Learn of limits that count neither tokens nor requests; the operator may have meant one of them.

        If the server shows or names tokens after that, there are both.
        """
        self.sides.record_answer(call, verdict, now_ms, self._buckets)
        tokens, period_ms = self._settings.tokens, self._settings.period_ms
        if tokens is not None and not self._means_input and self.sides.refills_like(tokens, period_ms):
            self._means_input = True
            self._buckets.drop_unshown(tokens, period_ms)

    def operators_level(self) -> tuple[LevelBounds, ...]:
        """Return a full bucket of the operator's, for the ledger: a limit of input alone has no other level there."""
        tokens, period_ms = self._settings.tokens, self._settings.period_ms
        if tokens is None:
            tokens, period_ms = self._settings.cap_tokens, MINUTE_MS
        return () if tokens is None else (LevelBounds(TOKENS, tokens, tokens, tokens, period_ms),)

    def _left_out(self, call: Reservation, now_ms: int, *, early: bool) -> int:
        """Return the tokens missing from an answer's figure, which the mirror takes to be as of the admission."""
        later = self.tariff.outstanding()
        if early or not self.tariff.settles(call.endpoint):
            return call.unsettled or later  # `unsettled` is 0 if no such law was believed at sending
        shortest, until_ms = self._buckets.shortest(), now_ms - self._delay.ms
        if shortest is None:
            return later
        refilled = call.refilled(shortest.capacity, shortest.period_ms, until_ms)
        return later + max(0, refilled - self._sends.spent_since(call.number, until_ms))

    def _left(self, call: Reservation, stated: Snapshot) -> int | None:
        """Return what a refusal says is left in its bucket: `Used` is the figure from before the refused call."""
        if stated.used is None:
            return None
        taken = call.amount(stated.metric) if self._settings.refusals_charged else 0
        return max(0, stated.capacity - stated.used) - taken

    def _learn_delay(self, metric: LimitMetric, error: int | None, now_ms: int) -> None:
        """Adjust the admission delay by an error; tokens that are missing may be those that others have spent."""
        delay, of_tokens = self._delay_of(metric), metric is LimitMetric.TOKENS
        shortest, delay.longest_ms = self._buckets.shortest(), self._sends.delay_max_ms
        known = (0, 0) if shortest is None else (shortest.capacity, shortest.period_ms)
        delay.learn(error, *known, of_tokens=of_tokens, by_others=self._buckets.others.by_others)
        if error == 0 and not of_tokens:  # a call is admitted to all at once
            self._delay.record_agreement()
        elif of_tokens and error is not None and error < 0:
            self._buckets.record_missing(-error, now_ms)
