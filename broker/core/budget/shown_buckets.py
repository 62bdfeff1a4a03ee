"""The buckets of one limit that headers show: which mirror each of them is, and how it refills.

Headers show one bucket of a metric and do not say which; the way it refills tells (refill_detection.py). Until that is
known, the bucket shown is taken for another one beside those believed, with a period of a minute. A believed bucket
that turns out to be the shown one expressed in another window (the same rate) is dropped: no answer would ever correct
it.

A project's buckets have headers of their own, and some servers name the period in the header, and show several buckets
of a metric. Others show the emptiest of theirs: a size that comes back soon, or again and again, is another bucket,
which is kept while it is shown now and then. Each bucket that headers show has evidence of its own.
"""

from typing import Final

from headrace.broker.core.answers.rate_limit_headers import HOUR_MS, MINUTE_MS, LimitMetric, Reading
from headrace.broker.core.answers.refill_detection import BUCKET, FIXED, SHORT_MS, Refill, RefillEvidence, RefillPattern
from headrace.broker.core.answers.rounding import Rounding
from headrace.broker.core.budget.admission_delay import DELAY_MAX_MS
from headrace.broker.core.budget.bucket_mirror import Mirror
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.mirror_list import AnyMirror, MirrorList, alike, same_rate, same_size
from headrace.broker.core.budget.others_evidence import OthersEvidence, levels_tell
from headrace.broker.core.budget.renewal_doubt import FAR_PARTS, RenewalBalance
from headrace.broker.core.budget.sent_calls import AdmissionOrder, SentCalls
from headrace.broker.core.budget.shown_bucket import ShownBucket
from headrace.broker.core.budget.sliding_window import SlidingWindowMirror
from headrace.broker.core.budget.stated_age import StatedAge
from headrace.broker.core.budget.two_counters import TwoCounterMirror

PROJECT_UNSHOWN_MAX: Final = 3  # answers in a row that show the account's buckets and none of a project

TURNS_UNSHOWN_MS: Final = 75_000  # until one of them is dropped: it may be the emptiest once in a window of a minute
TURNS_MAX: Final = 16  # beyond these the one that was shown longest ago is dropped: each call is paid from all
OTHERS_PARTS: Final = FAR_PARTS - 1  # of `FAR_PARTS` of a short window: others that take more show another limit
ANEW_MS: Final = 600_000  # until what levels disproved is judged anew once more, as calls are charged by another law

_Name = tuple[LimitMetric, int | None, bool]
"""A metric, the period that the header names, if it does, and whether it is a project's."""
_Shown = tuple[_Name, int | None]
"""The same, with the capacity of a bucket that is shown by turns with another one."""


class ShownBuckets:
    """Which of a limit's mirrors headers show.

    Attributes:
        token_pattern: How the account's bucket of tokens refills that headers show.
        token_capacity: What that holds, where several are shown by turns; None: there is one.
        others: Whether others spend in windows.
        has_fine_times: The server states times in parts of a second.
    """

    def __init__(self, mirrors: MirrorList, sends: SentCalls, *, estimates: bool = True) -> None:
        """`mirrors` gets those that headers reveal; `sends` are the calls that they look back at.

        `estimates`: limits may be estimated by two counters. Where a share of what calls carry is counted, none is
        taken for that: its answers could not tell the share, and a bucket is corrected by each.
        """
        self._estimates = estimates
        self._mirrors = mirrors
        self._sends = sends
        self._age: StatedAge | None = None  # until headers state tokens and a period
        self._headers: dict[_Shown, ShownBucket] = {}  # only those that headers have shown
        self._judged_ms: int | None = None  # when what levels had disproved was judged anew last
        self._turns: dict[_Name, tuple[int, ...]] = {}  # capacities of buckets that are shown by turns
        self.token_pattern: RefillPattern | None = None
        self.token_capacity: int | None = None
        self.others, self.has_fine_times = OthersEvidence(), False
        self._project_unshown = -1  # answers since headers last showed a project's bucket; -1: none is to be shown

    def observe(
        self,
        reading: Reading,
        order: AdmissionOrder,
        later: int = 0,
        *,
        project: bool = False,
        told: Reading | None = None,
    ) -> int | None:
        """Process a bucket of a metric that headers show; return the result of Mirror.observe.

        `later` is the amount still to be charged for calls that were admitted already; `project`: the bucket is a
        project's; `told`: the same in the server's own units, whose rounding tells how it refills; None: it is these.
        """
        header = self._header_of(reading, order, project=project)
        charged = order.index < 0 or self._sends.amounts[reading.metric][order.index] > 0
        pattern = header.evidence.observe(
            told or reading, order.sent_ms, order.now_ms, charged=charged, fine=self.has_fine_times
        )
        mirror = header.mirror
        header.judge_levels(reading, order, self._sends, old=self.age_ms > 0)
        header.states_period = header.states_period or pattern is not None or reading.period_ms is not None
        is_of_account = reading.metric is LimitMetric.TOKENS and not project
        if pattern is not None and is_of_account and self.token_capacity in {None, reading.capacity}:
            self.token_pattern = pattern
        too_long = pattern is None and header.is_too_long(reading)
        if mirror is None or too_long or (pattern is not None and not header.knows(pattern, self._mirrors.made)):
            mirror = self._mirror_of(reading, pattern, header, order.now_ms, project=project)
            if pattern is not None and pattern.refill is FIXED and isinstance(mirror, FixedWindowMirror):
                mirror.set_end(pattern.mark_ms, order.now_ms, pattern.spread_ms)
                if self._name(reading, project=project) in self._turns:  # what has begun anew need not be shown then
                    mirror.take_as_proven()
            if pattern is not None and self._mirrors.is_alone(mirror):
                header.known, header.made = pattern, self._mirrors.made
        if header.has_not_begun_anew(reading, order, self._sends, estimates=self._estimates):
            return self._disprove(mirror, reading.remaining - later, order)
        header.learn_step(reading, mirror, order, self._sends)
        if header.states_period and reading.metric is LimitMetric.TOKENS and mirror.period_ms <= MINUTE_MS:
            self._age = self._age or StatedAge(self._sends)
            self._age.observe(reading, order, mirror)
            if self.age_ms:
                order = self._sends.admission_order(
                    order.number, order.sent_ms, order.now_ms, order.delay_ms, self.age_ms
                )
        if isinstance(mirror, TwoCounterMirror):
            mirror.hear(pattern, reading.full_in_ms)
        return self.correct(mirror, reading.capacity, reading.remaining - later, order)

    @property
    def age_ms(self) -> int:
        """By how much what headers state may be older than the calls whose answers have them."""
        return 0 if self._age is None else self._age.ms

    @staticmethod
    def _name(reading: Reading, *, project: bool) -> _Name:
        return reading.metric, reading.period_ms if reading.named else None, project

    def _header_of(self, reading: Reading, order: AdmissionOrder, *, project: bool) -> ShownBucket:
        """Return the bucket that a reading is of.

        A server may show its emptiest bucket. So a capacity that comes back soon, or again and again, each time in the
        answer to a call sent when the other one had been shown, is that of another bucket; so is one that takes longer
        to refill than the known one at once. Each is kept while it is shown now and then.
        """
        name = self._name(reading, project=project)
        self._record_turn(name, reading.capacity, order.now_ms)
        turns = self._turns.get(name, ())
        shown = name, reading.capacity if reading.capacity in turns else None
        header = self._headers.get(shown)
        if header is None:
            header = self._headers[shown] = ShownBucket(reading.capacity, order.now_ms, self._no_evidence())
            return header
        if header.rounding is None:
            header.rounding = Rounding()
        if header.capacity == reading.capacity or order.sent_ms < header.changed_ms:
            return header
        if (other := header.took_turns_with) is not None and other.capacity == reading.capacity:
            return self._resume_turns(name, header, other, order.now_ms)
        if not (header.is_outlasted_by(reading) or header.has_returned(reading.capacity, order.now_ms)):
            is_other = reading.capacity * FAR_PARTS <= header.capacity
            header.change(reading.capacity, order.now_ms, self._no_evidence() if is_other else None)
            return header
        self._split(name, shown, reading.capacity, order.now_ms)
        return self._headers[name, reading.capacity]

    def _no_evidence(self) -> RefillEvidence:
        """Return what is known of the refill of a limit that no answer has shown yet."""
        evidence = RefillEvidence()
        if not self._estimates:
            evidence.rule_out(Refill.TWO)
        return evidence

    def judge_anew(self, now_ms: int) -> None:
        """Let limits of tokens refill as their levels seemed to disprove: calls were charged by another law.

        Not where laws change all the time, because none of them is right: what is disproved under each would return
        with the next one. But what levels have told of their renewal was wrong each time.
        """
        of_tokens = [header for (name, _), header in self._headers.items() if name[0] is LimitMetric.TOKENS]
        for header in of_tokens:
            header.forget_levels()
        if self._judged_ms is not None and now_ms - self._judged_ms < ANEW_MS:
            return
        kept = frozenset() if self._estimates else frozenset({Refill.TWO})
        judged = [header.evidence.judge_anew(kept) for header in of_tokens]
        if any(judged):
            self._judged_ms = now_ms

    def _split(self, name: _Name, shown: _Shown, capacity: int, now_ms: int) -> None:
        """Make two buckets of one that is shown with another `capacity`: each with the evidence that is its own.

        The mirror is that of the other if it has that capacity still, or again: answers come in any order.
        """
        header = self._headers.pop(shown)
        is_former = capacity == header.former
        other = ShownBucket(capacity, now_ms, (is_former and header.former_evidence) or self._no_evidence())
        if is_former:  # what it had was begun as that of the other
            other.renewals = header.former_renewals
            header.evidence, header.renewals, header.fit = self._no_evidence(), RenewalBalance(), None
        if header.mirror is not None and header.mirror.capacity == capacity:
            other.mirror, header.mirror, header.known = header.mirror, None, None
        elif isinstance(header.mirror, FixedWindowMirror):  # what has begun anew need not be shown from now on
            header.mirror.take_as_proven()
        header.returns, header.shown_ms = 0, now_ms
        self._headers[name, header.capacity], self._headers[name, capacity] = header, other
        self._turns[name] = (*self._turns.get(name, ()), header.capacity, capacity)
        self._choose_tokens()

    def _resume_turns(self, name: _Name, header: ShownBucket, other: ShownBucket, now_ms: int) -> ShownBucket:
        """Let a bucket take turns with the `other` again, which no answer had shown for long."""
        del self._headers[name, None]
        self._headers |= {(name, each.capacity): each for each in (header, other)}
        self._turns[name] = header.capacity, other.capacity
        header.shown_ms = other.shown_ms = now_ms
        self._choose_tokens()
        return other

    def _record_turn(self, name: _Name, shown: int, now_ms: int) -> None:
        """Record which of those that come by turns an answer shows; drop those that no answer shows any more."""
        turns = self._turns.get(name, ())
        gone: list[ShownBucket] = []
        for capacity in turns:
            header = self._headers[name, capacity]
            if capacity == shown:
                header.shown_ms = now_ms
            elif now_ms - header.shown_ms > TURNS_UNSHOWN_MS:
                gone.append(self._headers.pop((name, capacity)))
        known = [capacity for capacity in turns if (name, capacity) in self._headers]
        if len(known) > TURNS_MAX:
            oldest = min(known, key=lambda capacity: self._headers[name, capacity].shown_ms)
            gone.append(self._headers.pop((name, oldest)))
        if not gone:
            return
        self._mirrors.keep(lambda mirror: all(mirror is not each.mirror for each in gone) or self.shows(mirror))
        left = tuple(capacity for capacity in turns if (name, capacity) in self._headers)
        self._turns[name] = left
        if len(left) == 1 and (name, None) not in self._headers:  # which may have another size from now on
            header = self._headers[name, None] = self._headers.pop((name, left[0]))
            header.took_turns_with, left = max(gone, key=lambda each: each.shown_ms).forgotten(), ()
        if not left:
            del self._turns[name]
        self._choose_tokens()

    def _choose_tokens(self) -> None:
        """Choose the account's bucket of tokens that laws are judged by: the smallest that is shown by turns."""
        self.token_capacity = min(self._turns.get((LimitMetric.TOKENS, None, False), ()), default=None)

    def record_project(self, *, shown: bool) -> None:
        """Record whether an answer that shows any bucket shows a project's.

        A server that shows them does so each time. After a few answers without, the project's are dropped: no answer
        would ever correct them.
        """
        if shown:
            self._project_unshown = 0
        elif self._project_unshown >= 0:
            self._project_unshown += 1
            if self._project_unshown >= PROJECT_UNSHOWN_MAX:
                self._project_unshown = -1
                self._headers = {shown: header for shown, header in self._headers.items() if not shown[0][2]}
                self._turns = {name: turns for name, turns in self._turns.items() if not name[2]}
                self._mirrors.keep(lambda mirror: not mirror.project)

    def shows(self, mirror: AnyMirror) -> bool:
        """Return whether headers have shown a mirror's bucket."""
        return any(header.mirror is mirror for header in self._headers.values())

    def states(self, mirror: AnyMirror) -> bool:
        """Return whether headers have shown a mirror's bucket and its period, which is only assumed at first."""
        return any(header.mirror is mirror and header.states_period for header in self._headers.values())

    def name(self, mirror: Mirror) -> None:
        """Let the bucket that a refusal names be the one of its size that headers show, if these tell no period yet.

        Not one of an hour or longer: until its period is known by answers, a minute's rate spends it sooner.
        """
        for header in [each for each in self._headers.values() if each.evidence.is_open and mirror.period_ms < HOUR_MS]:
            if header.mirror is not None and same_size(header.mirror, mirror):
                self._exchange(header, mirror)

    def forget(self, mirrors: MirrorList) -> None:
        """Let go of the mirrors that are no longer in the list."""
        for header in self._headers.values():
            header.mirror = next((mirror for mirror in mirrors if mirror is header.mirror), None)

    def correct(self, mirror: AnyMirror, capacity: int, remaining: int | None, order: AdmissionOrder) -> int | None:
        """Correct a mirror by what an answer states of its bucket; return the result of Mirror.observe."""
        if not mirror.adopt_capacity(capacity, order.number, order.now_ms) or remaining is None:
            return None
        is_short, tells = mirror.period_ms <= SHORT_MS, levels_tell(mirror, self.age_ms, self._sends.delay_max_ms)
        may_prove = tells or not is_short
        if not isinstance(mirror, FixedWindowMirror | TwoCounterMirror):
            error = mirror.observe(remaining, order, self._sends)
            proven = mirror.by_others and may_prove
            self.others.observe(mirror.metric, error, order.now_ms, proven=proven, levels_tell=tells)
        else:
            header = next(shown for shown in self._headers.values() if shown.mirror is mirror)
            at_once = is_short or (isinstance(mirror, FixedWindowMirror) and mirror.on_trial)
            error, trusted = mirror.observe(remaining, order, self._sends), header.begins_anew
            proven = mirror.by_others and (trusted or may_prove)
            self.others.observe(mirror.metric, error, order.now_ms, proven=proven, trusted=trusted, levels_tell=tells)
            if isinstance(mirror, FixedWindowMirror):
                mirror.contested_until_ms = self.others.explain_until_ms(mirror.metric)
            if header.is_disproved(mirror, error, mirror.begun_ms(order.sent_ms), at_once=at_once):
                return self._disprove(mirror, remaining, order)
        if is_short and isinstance(mirror, SlidingWindowMirror) and mirror.others * FAR_PARTS > capacity * OTHERS_PARTS:
            return self._disprove(mirror, remaining, order, odd=True)
        return error

    def _disprove(self, mirror: AnyMirror, remaining: int, order: AdmissionOrder, *, odd: bool = False) -> int | None:
        """Replace the mirror of a window by that of a bucket, until more is known.

        It did not begin anew at its mark: a weighted sum of two counters, or else what refills as a bucket. `odd`: its
        level is not of that window at all, but of a shorter one beside the limit of a longer one.
        """
        header = next(shown for shown in self._headers.values() if shown.mirror is mirror)
        header.evidence.rule_out(Refill.TWO if isinstance(mirror, TwoCounterMirror) else FIXED)
        if odd:
            header.evidence.rule_out(Refill.SLIDING)
        again = Mirror(mirror.metric, mirror.capacity, mirror.period_ms, order.now_ms, project=mirror.project)
        is_of_account = mirror.metric is LimitMetric.TOKENS and not mirror.project
        if is_of_account and header.evidence.is_disproved:  # laws are judged by what is believed; two counters, soon
            self.token_pattern = RefillPattern(BUCKET, mirror.period_ms)
        return self._exchange(header, again).observe(remaining, order, self._sends)

    def _mirror_of(
        self,
        reading: Reading,
        pattern: RefillPattern | None,
        header: ShownBucket,
        now_ms: int,
        *,
        project: bool,
    ) -> AnyMirror:
        """Return the mirror of the bucket that headers show.

        It is created, found or replaced as its refill pattern becomes known.
        """
        metric, owner, shown = reading.metric, (reading.metric, project), header.mirror
        if pattern is None:
            period_ms = MINUTE_MS if shown is not None else reading.period_ms or MINUTE_MS
            capacity = None if reading.named else reading.capacity
            bucket = self._mirrors.find(owner, capacity, period_ms if shown is not None or reading.period_ms else None)
            if bucket is None:
                bucket = header.guessed = Mirror(metric, reading.capacity, period_ms, now_ms, project=project)
                self._mirrors.add(bucket)
            if shown is not None:
                return self._exchange(header, bucket)
            header.mirror = bucket
            return bucket
        if shown is not None and shown.refill is pattern.refill and alike(pattern.period_ms, shown.period_ms):
            return shown if self._mirrors.is_alone(shown) or not self._twins(shown) else self._exchange(header, shown)
        mirror: AnyMirror
        if pattern.refill is BUCKET:
            known = self._mirrors.find(owner, None, pattern.period_ms)
            mirror = known or Mirror(metric, reading.capacity, pattern.period_ms, now_ms, project=project)
            header.guessed = header.guessed if known else mirror
        elif pattern.refill is FIXED:
            remaining = min(reading.remaining, reading.capacity)
            if pattern.period_ms <= SHORT_MS:  # the answer may be of an earlier window
                begun_ms = pattern.mark_ms - pattern.period_ms - DELAY_MAX_MS
                remaining = reading.capacity - self._sends.sent_since(metric, begun_ms)
            mirror = FixedWindowMirror(
                metric, reading.capacity, pattern.period_ms, pattern.mark_ms, remaining, project=project
            )
        elif pattern.refill is Refill.TWO:
            mirror = TwoCounterMirror(
                metric,
                reading.capacity,
                pattern.period_ms,
                now_ms,
                self._sends,
                mark_ms=pattern.mark_ms,
                project=project,
            )
        else:
            mirror = SlidingWindowMirror(
                metric, reading.capacity, pattern.period_ms, now_ms, self._sends, project=project
            )
        return self._exchange(header, mirror)

    def _exchange(self, header: ShownBucket, mirror: AnyMirror) -> AnyMirror:
        """Make `mirror` the one that a header shows.

        A believed bucket of the same rate was meant to be it, and is dropped, unless another header shows it.
        """
        twins, former = self._twins(mirror), header.mirror
        gone = [mirror, *twins] if former is None else [mirror, former, *twins]
        self._mirrors.keep(lambda other: all(other is not one for one in gone))
        self._mirrors.add(mirror)
        for shown in self._headers.values():
            if shown is header or (former is not None and shown.mirror is former):  # it has two names
                shown.mirror = mirror
        return mirror

    def _twins(self, mirror: AnyMirror) -> list[AnyMirror]:
        """Return the other buckets of its metric, owner and rate that no header shows.

        Such a one was made before the refill pattern of this one was known.
        """
        shown = [header.mirror for header in self._headers.values()]
        return [
            other
            for other in self._mirrors.of(mirror.metric)
            if other is not mirror
            and other.project is mirror.project
            and same_rate(other, mirror)
            and all(other is not one for one in shown)
        ]
