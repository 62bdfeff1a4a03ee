"""One bucket that headers show: its mirror, and what is known of it by now."""

from copy import deepcopy
from typing import Final

from headrace.broker.core.answers.rate_limit_headers import HOUR_MS, MINUTE_MS, Reading
from headrace.broker.core.answers.refill_detection import SHORT_MS, Refill, RefillEvidence, RefillPattern
from headrace.broker.core.answers.rounding import Rounding
from headrace.broker.core.budget.bucket_fit import BucketFit
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.mirror_list import AnyMirror, alike
from headrace.broker.core.budget.renewal_doubt import BALANCE_SURE, FAR_PARTS, RenewalBalance, RenewalDoubt
from headrace.broker.core.budget.sent_calls import AdmissionOrder, SentCalls
from headrace.broker.core.budget.two_counters import TwoCounterMirror

TELLING_PARTS: Final = 4  # a level tells a period if at least one part in so many of the limit is used
OUTLASTING_TIMES: Final = 2  # times may be rounded up
RETURNS_MIN: Final = 2  # of a capacity; a limit that was lowered and raised again returns once,
RETURNED_SOON_MS: Final = 30_000  # and that takes longer: a return within this time is enough
SHORTER_PARTS: Final = 2  # a period is too long if that is less than one part in so many of it


class ShownBucket:
    """A bucket that headers show: the only one of its metric and owner, or the one of a named period.

    Attributes:
        mirror: The mirror of that bucket.
        evidence: The evidence on how that bucket refills.
        known: Its refill pattern, where it is the only bucket of its metric and owner.
        made: The changes of the list of mirrors when it was known.
        capacity: What it was shown to hold last.
        former: What it was shown to hold before; 0: nothing else.
        former_evidence: The evidence when it was shown to hold that.
        former_renewals: And whether it began anew then.
        guessed: The mirror made for it with a period that one level computed to, or that was assumed.
        changed_ms: When that changed.
        returns: How often in a row that was to what it was shown to hold before.
        shown_ms: When it was shown last, if it is shown by turns.
        rounding: How its figures are rounded; None: there was but one.
        states_period: Answers have shown its period; otherwise that is assumed.
        renewals: Whether it begins anew at marks, as the levels of a short window tell.
        fit: Whether the levels of a short window are those of a bucket; None: there were none.
        took_turns_with: The one shown last of those that took turns with it, and that no answer has shown for long.
    """

    __slots__ = (
        "capacity",
        "changed_ms",
        "evidence",
        "fit",
        "former",
        "former_evidence",
        "former_renewals",
        "guessed",
        "known",
        "made",
        "mirror",
        "renewals",
        "returns",
        "rounding",
        "shown_ms",
        "states_period",
        "took_turns_with",
    )

    def __init__(self, capacity: int, now_ms: int, evidence: RefillEvidence) -> None:
        """It was shown to hold `capacity` first."""
        self.capacity, self.former, self.changed_ms, self.returns = capacity, 0, 0, 0
        self.shown_ms = now_ms
        self.mirror: AnyMirror | None = None
        self.guessed: AnyMirror | None = None
        self.evidence = evidence
        self.former_evidence: RefillEvidence | None = None
        self.known: RefillPattern | None = None
        self.made = 0
        self.states_period = False
        self.rounding: Rounding | None = None
        self.renewals = self.former_renewals = RenewalBalance()
        self.fit: BucketFit | None = None
        self.took_turns_with: ShownBucket | None = None

    def forgotten(self) -> "ShownBucket":
        """Return it without its mirror, which is no longer believed, and without those it had taken turns with."""
        self.mirror = self.guessed = self.known = self.took_turns_with = None
        return self

    def forget_levels(self) -> None:
        """Forget what levels have told of its renewal: they were compared with charges that were none."""
        self.renewals = RenewalBalance()
        self.fit, self.evidence.fits_bucket = None, False
        if isinstance(self.mirror, FixedWindowMirror | TwoCounterMirror):
            self.mirror.doubt, self.mirror.contested_until_ms = RenewalDoubt(), 0

    def judge_levels(self, reading: Reading, order: AdmissionOrder, sends: SentCalls, *, old: bool) -> None:
        """Learn what the level that an answer states tells of a short window; `old`: it may be older than its call."""
        self._judge_renewal(reading, order, sends)
        if not old and self.evidence.window_ms <= SHORT_MS:
            self._judge_fit(reading, order, sends)

    def _judge_renewal(self, reading: Reading, order: AdmissionOrder, sends: SentCalls) -> None:
        """Learn whether a short window with marks begins anew there; believe again what was disproved wrongly."""
        phase = self.evidence.close_phase
        if phase is None or self.evidence.window_ms > SHORT_MS:
            if not self.evidence.is_open:  # it has no marks, or is another window
                self.renewals.balance = min(0, self.renewals.balance)
            return
        self.renewals.observe(reading, phase, self.evidence.window_ms, order, sends)
        if self.renewals.balance >= BALANCE_SURE:
            self.evidence.believe_anew()

    def _judge_fit(self, reading: Reading, order: AdmissionOrder, sends: SentCalls) -> None:
        """Learn whether a short window that may be any is a bucket, by the levels alone."""
        evidence = self.evidence
        if evidence.is_loose or evidence.fits_bucket:
            self.fit = self.fit or BucketFit(known=evidence.fits_bucket)
            step = 1 if self.rounding is None else self.rounding.step
            self.fit.observe(reading, evidence.window_ms, step, order, sends)
            evidence.fits_bucket = self.fit.is_sure

    def learn_step(self, reading: Reading, mirror: AnyMirror, order: AdmissionOrder, sends: SentCalls) -> None:
        """Learn how figures are rounded, for its mirror; one figure tells nothing."""
        if self.rounding is not None:
            amounts = sends.amounts[reading.metric][order.index : order.index + 1] if order.index >= 0 else ()
            self.rounding.observe(reading.remaining, *amounts, used=reading.capacity - reading.remaining)
            mirror.step = self.rounding.step

    @property
    def begins_anew(self) -> bool:
        """Whether it is a short counter, and levels fit it that two counters could not leave."""
        is_short = isinstance(self.mirror, FixedWindowMirror) and self.mirror.period_ms <= SHORT_MS
        return is_short and self.renewals.balance > 0

    def has_not_begun_anew(self, reading: Reading, order: AdmissionOrder, sends: SentCalls, *, estimates: bool) -> bool:
        """Return whether answers show that a counter is none; of a short window, they may be of former ones.

        `estimates`: it may be estimated by two counters.
        """
        mirror = self.mirror
        if not isinstance(mirror, FixedWindowMirror) or mirror.period_ms <= SHORT_MS:
            return False
        if self.evidence.has_risen:
            return True
        return estimates and mirror.doubt.counts_former(reading, mirror.period_ms, order, sends)

    def is_disproved(
        self, mirror: FixedWindowMirror | TwoCounterMirror, error: int | None, begun_ms: int, *, at_once: bool
    ) -> bool:
        """Return whether the error of an answer to a call of the window that began then disproves its mirror.

        `at_once`: one that is far short does.
        """
        if self.begins_anew:
            return False
        is_far = at_once and error is not None and error * FAR_PARTS < -mirror.capacity
        all_count = mirror.refill is Refill.TWO
        doubted = mirror.doubt.observe(begun_ms, mirror.period_ms, mirror.capacity, error, all_count=all_count)
        return is_far or doubted

    def knows(self, pattern: RefillPattern, made: int) -> bool:
        """Return whether its mirror follows this pattern, and no mirror was added or dropped since."""
        return pattern is self.known and made == self.made

    def is_outlasted_by(self, reading: Reading) -> bool:
        """Return whether a bucket of another size takes longer to refill than this one ever does: it is another one."""
        if self.mirror is None or not self.states_period or reading.full_in_ms is None:
            return False
        return reading.full_in_ms > OUTLASTING_TIMES * self.mirror.period_ms

    def has_returned(self, capacity: int, now_ms: int) -> bool:
        """Return whether what it held before has come back so soon, or so often, that this is another one."""
        is_soon = now_ms - self.changed_ms <= RETURNED_SOON_MS
        self.returns = self.returns + (RETURNS_MIN if is_soon else 1) if capacity == self.former else 0
        return self.returns >= RETURNS_MIN

    def change(self, capacity: int, now_ms: int, evidence: RefillEvidence | None) -> None:
        """Let it hold `capacity` from now on; `evidence` replaces its own, if it is given.

        What there was is kept, for it may prove to be another bucket that holds this.
        """
        if evidence is None:
            self.former_evidence, self.former_renewals = deepcopy((self.evidence, self.renewals))
        else:
            self.former_evidence, self.former_renewals = self.evidence, self.renewals
            self.evidence, self.renewals = evidence, RenewalBalance()
        self.former, self.capacity, self.changed_ms, self.took_turns_with = self.capacity, capacity, now_ms, None
        self.rounding, self.fit = Rounding(), None

    def is_too_long(self, reading: Reading) -> bool:
        """Return whether a level that tells more refutes the period that one level had computed to.

        Hardly used, a window of a minute may compute to a day, and one of seconds to a quarter of an hour. As such it
        lets next to nothing through while in debt. What computes to an hour is kept: a true limit of one does.
        """
        mirror, full_in_ms, used = self.guessed, reading.full_in_ms, reading.capacity - reading.remaining
        if mirror is None or mirror is not self.mirror:
            return False
        if mirror.period_ms <= MINUTE_MS or alike(mirror.period_ms, HOUR_MS):
            return False
        if reading.named or full_in_ms is None:
            return False
        told_ms = full_in_ms * reading.capacity // max(1, used)
        return used * TELLING_PARTS >= reading.capacity and told_ms * SHORTER_PARTS < mirror.period_ms
