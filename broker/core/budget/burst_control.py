"""Burst limiter: admits bursts as large as the server has tolerated, and twice that to find out more.

A full bucket would pay for thousands of calls in one instant. No header tells whether the server tolerates that: a
shorter window may be enforced beside the minute that headers show, the configured limit may be wrong, a proxy may drop
calls that come too fast. So the *depth*, the tokens spent beyond the steady rate, may only be doubled once the server
has been silent about the last doubling: a refusal comes back within one or two admission delays, an answer takes
seconds. And not in one step: calls that go deeper than ever are sent one by one over the same time, so that few calls
follow the first refusal. From one call to a full bucket that takes three seconds; where only the rate is spent, the
depth stays near zero and no call waits.

Other clients may spend as well, and the levels that answers state are as old as the calls they answer. A refusal for
lack of tokens that were believed to be there shows that they do: then the depth counts from that instant, and is
doubled anew. That costs no quota, as tokens not spent at once stay in the bucket.

A refusal that the known limits do not explain shows a depth that the server does not tolerate: the *ceiling*. It rises
again slowly, since a shorter window that was temporary must not constrain the limit for ever. A refusal below the
ceiling means that the server allows no such burst: it counts in windows of 1 s or 6 s, and rate plus burst overruns
each window. So each such refusal lowers the ceiling by more than the one before, until next to nothing is left of it.
Where refusals come although next to nothing is spent beyond the rate, the rate itself is too high, and only a share of
it is spent: cut at once, restored in small steps (AIMD, additive increase and multiplicative decrease), as is usual
where the server reports nothing. A step comes after a fixed number of calls, so that only a small part of the calls is
refused at any rate: 300 calls make up for one cut. After that the steps grow, up to eightfold, until the next cut; and
no cut goes below what the server was seen to let through.

Where the ceiling alone holds calls back and the buckets stay half full, the pace rises in steps of an eighth: a ceiling
bounds what is spent at once, and not what is spent in a minute. A refusal takes back the last step. The pace need not
be to blame: a front that counts calls refuses those of a burst. So it is tried again after a minute, and then ever more
rarely. Where the shortest bucket known is that of an hour or a day, its rate tells nothing of what is let through in a
minute: until a refusal the pace doubles, up to one that spends such a bucket within seconds.

Where a call's charge is known only after it was sent, what it paid too much is given back, and what it paid too little
is taken (`correct`).
"""

from collections import deque
from itertools import islice
from typing import Final

from headrace.broker.core.answers.rate_limit_headers import HOUR_MS, MINUTE_MS
from headrace.broker.core.budget.token_bucket import TokenBucket
from headrace.broker.core.units import PPM

SILENCE_MS: Final = 300
"""A server that has not refused a call within this time has admitted it."""
WAKING_MS: Final = 10
"""A caller that is late by at most this time may go as deep as if it had come in time."""
RISE_AFTER_MS: Final = 600_000
RISE_PARTS: Final = 16
LOWERED_OF_PARTS: Final = 16
"""A refusal below the ceiling lowers it by one part in this many; the next ones by 2, 4 and at most 8 parts."""
SHARE_CUT_PPM: Final = 970_000
SHARE_MIN_PPM: Final = 50_000
SHARE_STEP_PPM: Final = 5_000
SHARE_STEP_CALLS: Final = 50
SHARE_STEP_MIN_MS: Final = 2_500
SHARE_STEP_MAX_MS: Final = 30_000
SHARE_STEPS_SMALL: Final = 6
"""Steps that make up for one cut."""
SHARE_DOUBLED_MAX: Final = 3
"""How often the steps after them double."""
LET_THROUGH_MS: Final = 8_000
LET_THROUGH_MAX_MS: Final = 60_000
LET_THROUGH_PPM: Final = 950_000
"""Of what was let through between two refusals so far apart."""
HASTENED_EVERY_MS: Final = 2_500
HASTENED_PARTS: Final = 8
HASTENED_MAX_PPM: Final = 16 * PPM
"""Of the rate of a minute. That of an hour or a day is as many times what would spend it in a minute."""
HASTENED_AGAIN_MS: Final = 60_000
"""From the first refusal at a higher pace until the next try; then four times as long, at most `RISE_AFTER_MS`."""
HASTENED_AGAIN_TIMES: Final = 4
LEAST_MAX: Final = 256
_UNBOUND_PPM: Final = 1 << 62
SHALLOW_MS: Final = 250
"""A depth that the rate refills within this time is next to nothing."""


class BurstControl:
    """Token bucket of our own for one limit, in step with its shortest bucket of tokens.

    Attributes:
        tolerated_burst: The greatest tolerated depth, in tokens.
        ceiling: The depth that the server does not tolerate; None while it has tolerated all.
        share_ppm: The share of the rate that is spent.
    """

    def __init__(self, capacity: int, period_ms: int, now_ms: int, burst_ms: int | None = None) -> None:
        """Start with nothing known of the server; `burst_ms`: the operator's bound, the refill of that time."""
        self.tolerated_burst = 0
        self.ceiling: int | None = None
        self.share_ppm = PPM
        self._burst_ms = burst_ms
        self._capacity, self._period_ms = capacity, period_ms
        self._bucket = TokenBucket(capacity, period_ms, capacity, now_ms)
        self._on_trial: deque[tuple[int, int]] = deque()  # (sending time, depth) of calls sent less than SILENCE_MS ago
        # (time, depth) before payments since the first correction, each less deep than later ones, but for corrections
        self._least: deque[tuple[int, int]] | None = None
        self._changed_ms = now_ms
        self._cut_ms = now_ms - 1  # when the share was cut, or the pace was lowered
        self._paid = 0  # calls since the share was changed
        self._told_ppm: int | None = None  # the share since it was cut, or more than all where the rate is lower now
        self._steps_taken = 0  # by which the share was restored since the last cut
        self._spent = 0  # tokens, less those of refused calls
        self._refusals: deque[tuple[int, int]] | None = None  # of the rate: when, and what had been spent by then
        self._deeper_us = 0  # when the next call may exceed the deepest depth so far
        self._ceiling_set_ms = now_ms  # when the ceiling was last set by a refusal
        self._lower_by = 1  # parts of the ceiling to take off at the next refusal below it
        self._faster_ppm = PPM  # the pace, while the buckets hold far more than is spent at once
        self._fastest_ppm = _UNBOUND_PPM  # the pace below the one at which a call was refused
        self._hastened_ms = now_ms
        self._hasten_after_ms = HASTENED_AGAIN_MS  # from a refusal at a higher pace until that is tried again
        self._anew_ms = now_ms - 1  # calls sent up to then are no evidence any more

    def inherit(self, tolerated_burst: int, ceiling: int | None) -> None:
        """Adopt what a predecessor has learned."""
        self.tolerated_burst, self.ceiling = tolerated_burst, ceiling

    def adopt_capacity(self, capacity: int, period_ms: int, now_ms: int) -> None:
        """Adopt another size of the bucket that this one is kept in step with."""
        if capacity != self._capacity or period_ms != self._period_ms:
            if self._told_ppm is not None:  # refusals have told of a rate, and not of a part of what is believed
                if self.share_ppm == PPM and now_ms - self._changed_ms >= RISE_AFTER_MS:
                    self._told_ppm = None
                else:
                    told = self._told_ppm * self._capacity * period_ms
                    self._told_ppm = max(SHARE_MIN_PPM, told // max(1, capacity * self._period_ms))
                    self.share_ppm = min(PPM, self._told_ppm)
            self._capacity, self._period_ms = capacity, period_ms
            self._resize(now_ms)

    def payable_at(self, amount: int, now_ms: int) -> int:
        """Return the first instant at which `amount` more may be spent; more than the bound waits for depth 0."""
        self._settle(now_ms)
        at_ms = self._within(amount, self.tolerated_burst, now_ms)
        if at_ms > now_ms:
            tolerated = self.tolerated_burst
            for sent_ms, burst in self._on_trial:  # silence about a trial may allow the call before the refill does
                if sent_ms + SILENCE_MS >= at_ms:
                    break
                if burst > tolerated:
                    tolerated = burst
                    at_ms = min(at_ms, max(sent_ms + SILENCE_MS, self._within(amount, burst, now_ms)))
        return at_ms

    def spare(self, now_ms: int) -> int:
        """Return the tokens that may be spent from now on, however soon; further admissions only add to them."""
        self._settle(now_ms)
        return self._known_burst(self.tolerated_burst, self._bound(self.tolerated_burst)) - self._burst(now_ms)

    def pay(self, amount: int, now_ms: int) -> int:
        """Spend; return the depth afterwards, which identifies the call if it is refused."""
        self._settle(now_ms)
        self._paid += 1
        self._spent += amount
        trials = self._on_trial
        capacity = self._bucket.capacity
        if self._least is not None:
            self._note_least(self._least, now_ms)
        burst = capacity - self._bucket.pay(amount, now_ms)
        if burst > self.tolerated_burst:
            self._space(amount, burst, now_ms)
        if burst > capacity:  # more than any server allows: our law overestimates charges
            burst = capacity
            self._bucket.set_level(0, now_ms)
        while trials and trials[-1][1] <= burst and trials[-1][0] == now_ms:
            trials.pop()
        trials.append((now_ms, burst))
        return burst

    def refund(self, amount: int, now_ms: int) -> None:
        """Give back a call that was refused and not charged."""
        self._bucket.pay(-amount, now_ms)
        self._spent -= amount

    def correct(self, excess: int, sent_ms: int, now_ms: int) -> None:
        """Give back what a call paid beyond its charge when it was sent, or take what it paid too little.

        Tokens that would have overflowed a full bucket since then are not given back: the server's bucket lost them.
        """
        self._spent -= excess
        self._least = deque(maxlen=LEAST_MAX) if self._least is None else self._least
        since = next((index for index, (at_ms, _) in enumerate(self._least) if at_ms > sent_ms), len(self._least))
        later = [(at_ms, burst) for at_ms, burst in islice(self._least, since, None)]
        least = min([burst for _, burst in later] + [self._burst(now_ms)])
        given = min(excess, max(0, least))
        if given:
            for _ in later:
                self._least.pop()
            self._least.extend((at_ms, burst - given) for at_ms, burst in later)
            self._bucket.pay(-given, now_ms)

    def record_admission(self, burst: int, sent_ms: int) -> None:
        """Record the admission of the call that was sent at `sent_ms` and made the depth `burst`."""
        if burst > self.tolerated_burst and sent_ms > self._anew_ms:
            self.tolerated_burst = burst
            self._deeper_us = 0

    def restart(self, sent_ms: int, now_ms: int) -> None:
        """Start again from next to nothing: a call was refused because less was left than answers had stated.

        Where another bound is known, the operator's or the server's, that bound holds, and the tokens spent count.
        """
        if sent_ms > self._anew_ms and self.ceiling is None and self._burst_ms is None:
            self._anew_ms = now_ms
            self.tolerated_burst = self._deeper_us = 0
            self._on_trial.clear()
            self._bucket.set_level(self._bucket.capacity, now_ms)

    def hasten(self, now_ms: int) -> None:
        """Let the pace rise by a step: the buckets have held far more than a burst may take for some time.

        The ceiling bounds what is spent at once. It must not bound what is spent within a minute.
        """
        if self.ceiling is None or self.share_ppm < PPM or now_ms - self._hastened_ms < HASTENED_EVERY_MS:
            return
        if self._fastest_ppm < _UNBOUND_PPM and now_ms - self._cut_ms >= self._hasten_after_ms:
            self._hasten_after_ms = min(RISE_AFTER_MS, self._hasten_after_ms * HASTENED_AGAIN_TIMES)
            self._fastest_ppm = _UNBOUND_PPM
        self._hastened_ms = now_ms
        is_long, most_ppm = self._period_ms >= HOUR_MS, HASTENED_MAX_PPM * max(MINUTE_MS, self._period_ms) // MINUTE_MS
        parts = 1 if is_long and self._cut_ms < self._ceiling_set_ms else HASTENED_PARTS
        faster_ppm = min(self._fastest_ppm, most_ppm, self._faster_ppm + self._faster_ppm // parts)
        if faster_ppm > self._faster_ppm:
            self._faster_ppm = faster_ppm
            self._resize(now_ms)

    def _slow(self, sent_ms: int, now_ms: int) -> None:
        """Return to the pace before the last step."""
        if sent_ms > self._cut_ms:
            self._cut_ms = self._hastened_ms = now_ms
            slower_ppm = self._faster_ppm * HASTENED_PARTS // (HASTENED_PARTS + 1)
            self._faster_ppm = self._fastest_ppm = max(PPM, slower_ppm)
            self._resize(now_ms)

    def record_refusal(self, burst: int, amount: int, sent_ms: int, now_ms: int) -> None:
        """Record the refusal of a call that every known limit could pay; sending it had made the depth `burst`."""
        self._on_trial = deque(trial for trial in self._on_trial if trial[1] < burst)
        self._changed_ms = now_ms
        if self._faster_ppm > PPM:
            self._slow(sent_ms, now_ms)
            return
        if (burst - amount) * self._period_ms > SHALLOW_MS * self._capacity:
            self.ceiling = max(amount, self._lowered(burst - amount, sent_ms))
            self._ceiling_set_ms = now_ms
            self.tolerated_burst = min(self.tolerated_burst, self.ceiling)
        elif sent_ms > self._cut_ms:  # a call sent earlier is refused for what the last cut has mended
            self._paid = self._steps_taken = 0
            self._cut_ms = now_ms
            cut_ppm = max(SHARE_MIN_PPM, self.share_ppm * SHARE_CUT_PPM // PPM)
            self.share_ppm = self._told_ppm = max(cut_ppm, min(self.share_ppm, self._let_through_ppm(now_ms)))
            self._resize(now_ms)

    def _let_through_ppm(self, now_ms: int) -> int:
        """Record a refusal; return the part of the rate let through since an earlier one, less a margin; 0: unknown."""
        refusals = self._refusals = deque() if self._refusals is None else self._refusals
        while len(refusals) > 1 and refusals[1][0] <= now_ms - LET_THROUGH_MS:
            refusals.popleft()
        refusals.append((now_ms, self._spent))
        since_ms, spent = refusals[0]
        took_ms = now_ms - since_ms
        if not LET_THROUGH_MS <= took_ms <= LET_THROUGH_MAX_MS:
            return 0
        return (self._spent - spent) * self._period_ms * LET_THROUGH_PPM // (took_ms * max(1, self._capacity))

    def take_back_cuts(self, now_ms: int) -> None:
        """Spend the whole rate again: the refusals for which it was cut have another explanation."""
        self._told_ppm = None
        if self.share_ppm < PPM:
            self.share_ppm, self._paid, self._changed_ms = PPM, 0, now_ms
            self._resize(now_ms)

    def _note_least(self, noted: deque[tuple[int, int]], now_ms: int) -> None:
        """Note the depth before a payment; of the former ones, those are kept that were less deep."""
        burst = self._burst(now_ms)
        while noted and noted[-1][1] >= burst:
            noted.pop()
        noted.append((now_ms, burst))

    def _lowered(self, tolerated: int, sent_ms: int) -> int:
        """Return the new ceiling after a refusal that leaves `tolerated` as tolerated."""
        if self.ceiling is None:
            return tolerated
        lowest = min(self.ceiling, tolerated)
        if sent_ms <= self._ceiling_set_ms:  # the call was sent before the ceiling was known to be this low
            return lowest
        parts, self._lower_by = self._lower_by, min(2 * self._lower_by, LOWERED_OF_PARTS // 2)
        return lowest - lowest * parts // LOWERED_OF_PARTS

    def _settle(self, now_ms: int) -> None:
        """Draw conclusions from silence: a call was admitted; after long silence, the server may tolerate more."""
        trials = self._on_trial
        while trials and trials[0][0] + SILENCE_MS <= now_ms:
            _, burst = trials.popleft()
            if burst > self.tolerated_burst:
                self.tolerated_burst = burst
        if self.share_ppm == PPM and self.ceiling is None:
            return
        if self.share_ppm < PPM:
            steps = self._steps(now_ms - self._changed_ms)
            if steps:
                self._changed_ms, self._paid = now_ms, 0
                self._regain(steps)
                self._resize(now_ms)
        elif now_ms - self._changed_ms >= RISE_AFTER_MS:
            self._changed_ms = now_ms
            self._fastest_ppm = _UNBOUND_PPM
            risen = (self.ceiling or 0) + 1 + (self.ceiling or 0) // RISE_PARTS
            self.ceiling = risen if risen < self._capacity else None
            self._lower_by = 1

    def _regain(self, steps: int) -> None:
        """Restore the share by so many steps, each as large as it is due."""
        for _ in range(steps):
            self._steps_taken += 1
            times = 1 << min(SHARE_DOUBLED_MAX, max(0, self._steps_taken - SHARE_STEPS_SMALL))
            self.share_ppm = min(PPM, self.share_ppm + times * SHARE_STEP_PPM)
            if self.share_ppm == PPM:
                self._told_ppm = None
                return
        self._told_ppm = self.share_ppm

    def _steps(self, waited_ms: int) -> int:
        """Return the number of steps by which the share is restored, `waited_ms` after it was changed."""
        calls_tell = self._paid >= SHARE_STEP_CALLS and waited_ms >= SHARE_STEP_MIN_MS
        return max(waited_ms // SHARE_STEP_MAX_MS, 1 if calls_tell else 0)

    def _within(self, amount: int, tolerated: int, now_ms: int) -> int:
        """Return the first instant at which `amount` more stays within the bound, once `tolerated` is tolerated."""
        bucket = self._bucket
        bound = self._bound(tolerated)
        at_ms = bucket.payable_at(amount, bucket.capacity - bound, now_ms)
        deeper_ms = -(-self._deeper_us // 1_000)
        if at_ms < deeper_ms:  # earlier only to a depth reached before
            known_at_ms = bucket.payable_at(amount, bucket.capacity - self._known_burst(tolerated, bound), now_ms)
            return min(max(at_ms, known_at_ms), deeper_ms)
        return at_ms

    def _bound(self, tolerated: int) -> int:
        """Return the permitted depth, once depth `tolerated` is tolerated."""
        bound = max(2 * tolerated, self._always_allowed())
        if self._burst_ms is not None:
            bound = min(bound, max(1, self._capacity * self._burst_ms // self._period_ms))
        return bound if self.ceiling is None else min(bound, self.ceiling)

    def _space(self, amount: int, burst: int, now_ms: int) -> None:
        """Delay the next call that goes deeper than ever, if this one has done so."""
        known_burst = self._known_burst(self.tolerated_burst, self._bound(self.tolerated_burst))
        if burst > known_burst:
            apart_us = amount * SILENCE_MS * 1_000 // (known_burst + self._always_allowed() + 1)
            from_us = max(self._deeper_us, (now_ms - WAKING_MS) * 1_000)
            self._deeper_us = min(from_us + apart_us, (now_ms + SILENCE_MS) * 1_000)

    def _known_burst(self, tolerated: int, bound: int) -> int:
        """Return the depth that was reached before, or is always permitted."""
        return min(max(tolerated, self._always_allowed()), bound)

    def _always_allowed(self) -> int:
        """Return the refill during `SILENCE_MS`, the time in which the server is silent."""
        return self._capacity * SILENCE_MS // self._period_ms

    def _burst(self, now_ms: int) -> int:
        return self._bucket.capacity - self._bucket.level(now_ms)

    def _resize(self, now_ms: int) -> None:
        burst = self._burst(now_ms)
        capacity = max(1, self._capacity * self.share_ppm // PPM * self._faster_ppm // PPM)
        self._bucket.resize(capacity, self._period_ms, now_ms)
        self._bucket.set_level(max(0, capacity - burst), now_ms)
