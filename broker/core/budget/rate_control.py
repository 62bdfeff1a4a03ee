"""Rate control that needs nothing of a server but whether it admitted a call, refused it, or asked to wait.

It is used where what a server says contradicts what it does (`headrace.broker.core.budget.mirror_trust`). The ideas are
those of congestion control, with one difference: a refusal loses nothing, but each is counted.

- **Pacing** (`pace`). Tokens are spent evenly at a rate. A server that counts by windows, of whatever kind and length,
  admits that; a burst is refused by some.
- **One event, one cut.** Refusals of calls that were sent before the last cut are its consequence. A cut is small if
  many calls were admitted since the last one, and larger if few were.
- **CUBIC** (RFC 9438): after a cut the rate returns quickly towards the rate at which the refusal came, stays close to
  it for long, and then probes beyond it, slowly at first. The curve is in calls rather than in time, since calls are
  what refusals are counted against.
- **Measured throughput** (`throughput`), as in BBR: the tokens admitted between two refusals, over the time between,
  are what the limit lets through, whatever it counts. The rate then holds just below, and longer each time the next
  measurement confirms it.
- **Time counts only while the rate holds calls back**: hours without a call, a hold, or a request that was withdrawn
  while it waited do not let the rate return or grow.
- **Spans** (`span_caps`): where refusals come when many were sent within one second, or six, that is capped; the rate
  stays, and grows more slowly. If it is calls that are capped, they are paced evenly, and not their tokens.
- **Waits** (`stated_waits`). A short stated wait is kept; a long one is tested by single calls until it is believed.

After a refusal one call goes alone, and the pacing leaves out the time of half a large call: the bucket is empty.
Silence about that call counts as its admission; if its refusal comes all the same, the row of refusals has not ended.
"""

import itertools
from collections import deque
from typing import Final

from headrace.broker.core.budget.hold import Hold
from headrace.broker.core.budget.learned_at_rates import Learned
from headrace.broker.core.budget.pace import Pace, takes_us
from headrace.broker.core.budget.recent_spending import PacedCall, Sums
from headrace.broker.core.budget.repriced_rate import repriced_rate
from headrace.broker.core.budget.span_caps import RAISED_EVERY, REFUSALS_MIN, REFUSALS_REMEMBERED
from headrace.broker.core.budget.throughput import Throughput
from headrace.broker.core.units import PPM

SILENCE_MS: Final = 150
"""A refusal comes back sooner; a call that the server has been silent about for so long was admitted. `burst_control`
waits twice as long: it doubles bursts by it, while here a refusal that comes later takes its admission back."""
SILENCE_MAX_MS: Final = 10_000  # by refusals that take as long, a quarter more of which is waited for
GAP_PPM: Final = 400_000  # of the mean interval between calls, kept between any two
GONE_MS: Final = 1_000  # a call that is not asked about again so long after its time has been withdrawn

GROWTH_FIRST_PPM: Final = 200  # of each admitted call before the first refusal
GROWTH_PPM: Final = 1_000  # a second, `GROWTH_AT_MS` after the rate is back where the last refusal came; then squared
GROWTH_AT_MS: Final = 60_000
GROWTH_AT_CAPPED_MS: Final = 30_000  # where spans are capped: what was refused before was no fault of the rate's
GROWTH_MAX_PPM: Final = 50_000
OUTRUNS_PPM: Final = 1_250_000  # of the last minute's tokens: where spans are capped, the rate grows no further
RETURN_MS: Final = 90_000  # at most, where calls are few
FAR_BELOW: Final = 4  # a rate is far below the stated one if it is less than one part in this many
FAR_AFTER_MS: Final = 10_000  # without a refusal: otherwise what is stated is wrong
DOUBLED_MS: Final = 10_000  # of waiting, and no more between two calls raises the rate
GROWN_UNKNOWN_MS: Final = 10_000
HELD_FIRST_MS: Final = 60_000  # a rate that the server states is held so long before it grows
GROWN_FIRST_MS: Final = 100_000  # in which the rate grows by itself before the first refusal
CUT_PPM: Final = 30_000  # this figure and those down to `ANNEALED_FROM_PPM` were chosen by `make bench-limiters`
MANY_CALLS: Final = 30
SOME_CALLS: Final = 10
CUT_SOME_TIMES: Final = 3  # if fewer than `MANY_CALLS` were admitted since the last cut, that was too small
CUT_FEW_TIMES: Final = 7  # fewer than `SOME_CALLS`: the limit is far below, and each step there costs a refusal
RETURN_CALLS: Final = 600  # admitted ones, in which the rate returns to that of the refusal
RETURN_CALLS_SHORT: Final = 80  # if the refusal came within `SHORT_CALLS`: where it came says little of the limit then
SHORT_CALLS: Final = 60
DENSE: Final = 3
PROVEN_CALLS: Final = 200  # admitted before dense refusals: then a window has been used up, and the rate is not wrong
PROVEN_DENSE: Final = 9  # after so many dense refusals it is
ANNEALED_MS: Final = 60_000  # at first the rate is a guess: in this time the return is faster, from three tenths on
ANNEALED_FROM_PPM: Final = 300_000

MEASURED_PPM: Final = (700_000, 1_030_000)  # of the present rate: it allows no more, and less is of another time
COARSE_PPM: Final = (500_000, 1_030_000)  # where refusals come soon after each other
COARSE_LEAST_PPM: Final = 800_000  # of the present rate, to which such a figure may lower it at once
HELD_BELOW_PPM: Final = 15_000
SPARED_PPM: Final = 500_000  # of the largest recent call, left out after a refusal,
SPARED_MEANS: Final = 2  # and no more than this multiple of a mean one: the largest may be that of an hour ago

_US: Final = 1_000


class RateControl:
    """The rate of one limit.

    Attributes:
        rate: In thousandths of a token a minute.
        events: Refusals that were no consequence of another one; 1 from the start for an inherited rate.
        rests_until_ms: Until when no call may be sent after the last refusal.
    """

    def __init__(
        self,
        tokens_per_minute: int,
        now_ms: int,
        *,
        stated: bool = True,
        found: bool = False,
        learned: Learned | None = None,
    ) -> None:
        """Start at a rate that the operator or the server has `stated`, or at a mere guess, which grows faster.

        `found`: a predecessor has measured it, so that what is stated does not raise it. `learned`: by the rate
        before this one at the same limit.
        """
        self._is_stated = stated
        self.rate = self._start = max(1, tokens_per_minute) * 1_000
        self._stated = self.rate  # a guess where `stated` is false
        self.events = int(found)
        learned = learned or Learned.nothing(SILENCE_MS)
        self._spending, self._caps, self._silence_ms, self._waits = learned
        self._began_ms = now_ms
        self._pace = Pace(now_ms)
        self._sent: dict[int, PacedCall] = {}
        self._silent: deque[tuple[int, int]] = deque()  # when calls were sent that may be silent, and their attempts
        self._peak = 0  # the rate at which a refusal came, or that was measured
        self._drop_ppm = 0
        self._return_calls = RETURN_CALLS
        self._dense = 0
        self._is_proven = False  # the rate at which the last row of dense refusals began
        self._calls = 0  # admitted since the last cut
        self._curve_calls = 0  # of them, those for which the rate was not held
        self._returned_ms = self._beyond_ms = 0  # how long the rate has been returning, and growing beyond its peak
        self._hold, self._throughput = Hold(), Throughput()
        self._held_back = False  # a call has been held back since the last one was sent
        self._held_until_ms = self._accrued_ms = now_ms
        self._cut_rates: deque[int] = deque(maxlen=REFUSALS_REMEMBERED)  # before each of the last cuts
        self._cut_ms = now_ms - 1  # what was sent before says nothing of this rate
        self._grown_busy_ms = 0  # the busy time by the call for which the rate has grown last
        self._row = 0
        self._row_rate = self.rate  # after the cut with which the row began
        self.rests_until_ms = now_ms
        self._alone = False  # one call goes alone
        self._alone_ms: int | None = None

    @property
    def learned(self) -> Learned:
        """What the next rate at this limit goes on with."""
        return Learned(self._spending, self._caps, self._silence_ms, self._waits)

    def learn_stated(self, tokens_per_minute: int) -> None:
        """Record what the operator or the server states; before the first refusal the rate is not below it."""
        self._stated = max(1, tokens_per_minute) * 1_000
        if not self.events:
            self.rate, self._start = max(self.rate, self._stated), max(self._start, self._stated)

    def reprice(self, ppm: int) -> None:
        """Go on with other prices: calls like those so far pay this part of what they paid."""
        stated = self._stated if self._is_stated else None
        self.rate, self._row_rate = (max(1, repriced_rate(each, ppm, stated)) for each in (self.rate, self._row_rate))
        self._pace.reprice(ppm)
        self._cut_rates = deque((max(1, rate * ppm // PPM) for rate in self._cut_rates), maxlen=REFUSALS_REMEMBERED)
        self._peak = repriced_rate(self._peak, ppm, stated)
        self._hold.reprice(ppm)
        self._spending.reprice(ppm)
        self._caps.reprice(ppm)
        self._throughput.reprice(ppm)
        for sent in self._sent.values():
            sent.tokens, sent.found = sent.tokens * ppm // PPM, sent.found.repriced(ppm)

    # ------------------------------------------------------------------ when to send

    def payable_at(self, tokens: int, now_ms: int, *, first: bool) -> int:
        """Return when a call of so many tokens may be sent; `first`: no idle lane above it has a reserve to be left."""
        self._hear_silence(now_ms)
        cost = self._cost(tokens)
        at_ms = self._paced_at(cost, now_ms, first=first)
        if at_ms > now_ms:
            self._held_back, self._held_until_ms = True, at_ms
            self._pace.save_for(cost, at_ms, now_ms)
            return at_ms
        if now_ms > self._held_until_ms + GONE_MS:
            self._held_back = False
        capped_ms = self.capped_at(tokens, now_ms)
        if capped_ms > now_ms:  # a cap holds it back, and not the rate
            self._held_back = False
        return capped_ms

    @property
    def caps_any(self) -> bool:
        """Whether any span is capped."""
        return self._caps.any

    def capped_at(self, tokens: int, now_ms: int) -> int:
        """Return when a call of so many tokens keeps within the caps of all spans, whatever the rate is."""
        self._spending.settle(now_ms)
        last_ms = self._spending.last_sent_ms()
        apart_ms = now_ms if last_ms is None else last_ms + self._caps.gap_ms()
        return max(self._caps.payable_at(tokens, self._spending, now_ms), apart_ms)

    def _paced_at(self, tokens: int, now_ms: int, *, first: bool) -> int:
        if now_ms < self.rests_until_ms:
            return self.rests_until_ms
        if self._alone:
            if self._alone_ms is None:
                return now_ms
            if now_ms < self._alone_ms + self._silence_ms:
                return self._alone_ms + self._silence_ms
            self._alone = False
        at_ms = max(now_ms, self._pace.due_ms(tokens, self.rate, first=first))
        if at_ms > now_ms:
            return at_ms
        mean, last_ms = self._spending.tokens_mean(), self._spending.last_sent_ms()
        if mean is not None and last_ms is not None:
            at_ms = max(at_ms, last_ms + takes_us(mean, self.rate) * GAP_PPM // PPM // _US)
        return at_ms

    # ------------------------------------------------------------------ what becomes of a call

    def record_send(self, attempt: int, tokens: int, now_ms: int) -> None:
        """Record a call that is sent now."""
        self._hear_silence(now_ms)
        self._spending.settle(now_ms)
        cost = self._cost(tokens)
        self._accrue(cost, now_ms)
        self._pace.pay(cost, self.rate, now_ms, largest=self._spending.largest())
        if self._alone and self._alone_ms is None:
            self._alone_ms = now_ms
        number = self._spending.add(tokens, now_ms)
        self._sent[attempt] = PacedCall(number, cost, self._spending.sums(), self._held_back, self._throughput.busy_ms)
        self._held_back = False
        self._silent.append((now_ms, attempt))

    def _cost(self, tokens: int) -> int:
        """Return what a call costs the pace: its tokens; where calls are capped, a mean call's."""
        mean = self._spending.tokens_mean() if self._caps.any_of_calls else None
        return tokens if mean is None else mean

    def _accrue(self, tokens: int, now_ms: int) -> None:
        """Add the time since the last call, if this one was held back; otherwise only the time that it takes."""
        since_ms, self._accrued_ms = max(0, now_ms - self._accrued_ms), now_ms
        if not self._held_back:
            since_ms = min(since_ms, takes_us(tokens, self.rate) // _US)
        self._throughput.accrue(self.rate, since_ms)

    def record_loss(self, attempt: int) -> None:
        """Record a call that ended without an answer: it may have been admitted."""
        self._sent.pop(attempt, None)

    def record_admission(self, attempt: int, sent_ms: int, now_ms: int) -> None:
        """Record that a call sent at `sent_ms` was admitted."""
        self._hear_silence(now_ms)
        if (sent := self._sent.pop(attempt, None)) is not None:
            self._caps.record_answer(sent.found)
            if not sent.heard:
                self._admit(sent, sent_ms)

    def _hear_silence(self, now_ms: int) -> None:
        """Take the calls that the server has been silent about for admitted."""
        while self._silent and self._silent[0][0] + self._silence_ms <= now_ms:
            sent_ms, attempt = self._silent.popleft()
            sent = self._sent.get(attempt)
            if sent is not None:
                sent.heard = True
                if sent_ms > self._cut_ms:
                    sent.row = self._row
                self._admit(sent, sent_ms)

    def _admit(self, sent: "PacedCall", sent_ms: int) -> None:
        self._throughput.admitted += sent.tokens
        self._caps.record_admission(sent.found)
        if sent_ms <= self._cut_ms:
            return
        self._row, self._alone = 0, False
        self._waits.record_admission(sent_ms)
        self._calls += 1
        if self._calls % RAISED_EVERY == 0:
            self._caps.raise_all(sent_ms)
        if sent_ms < self._hold.until_ms:
            self._grown_busy_ms = sent.busy_ms
        elif sent.paced:
            self._curve_calls += 1
            self._grow(min(max(0, sent.busy_ms - self._grown_busy_ms), sent_ms - self._cut_ms))
            self._grown_busy_ms = max(self._grown_busy_ms, sent.busy_ms)

    def _grow(self, since_ms: int) -> None:
        """Raise the rate for one more admitted call; the rate has held calls back for `since_ms` since the last one."""
        steady = self._return_calls
        self._returned_ms += since_ms
        calls = max(self._curve_calls, steady * self._returned_ms // RETURN_MS)
        if not self.events:
            waited = self._throughput.busy_ms >= HELD_FIRST_MS
            if not self._is_stated or waited or self._start > self._stated:
                self.rate += self.rate * GROWTH_FIRST_PPM // PPM
                grown_in_ms = GROWN_FIRST_MS if self._is_stated else GROWN_UNKNOWN_MS
                self.rate += self.rate * min(since_ms, DOUBLED_MS) // grown_in_ms
        elif calls < steady:
            left_ppm = (steady - calls) * PPM // steady
            cubed_ppm = left_ppm * left_ppm // PPM * left_ppm // PPM
            self.rate = max(self.rate, self._peak - self._peak * self._drop_ppm // PPM * cubed_ppm // PPM)
        elif not self._outruns_caps():
            self._beyond_ms += since_ms
            at_ms = GROWTH_AT_CAPPED_MS if self._caps.any else GROWTH_AT_MS
            part_ppm = min(GROWTH_MAX_PPM, GROWTH_PPM * self._beyond_ms**2 // at_ms**2)
            self.rate += self.rate * part_ppm // PPM * min(since_ms, DOUBLED_MS) // 1_000
        calm = self._returned_ms >= FAR_AFTER_MS or not self.events
        if calm and FAR_BELOW * self.rate < self._stated:  # where calls are rare, growth by calls would take hours
            self.rate += self.rate * min(since_ms, DOUBLED_MS) // DOUBLED_MS

    def _outruns_caps(self) -> bool:
        """Return whether caps let through far less than the rate, so that a higher rate would say nothing."""
        return self._caps.any and self.rate * PPM > self._spending.sums()[False][-1] * 1_000 * OUTRUNS_PPM

    # ------------------------------------------------------------------ refusals

    def record_refusal(  # noqa: PLR0913 — one of them keyword-only
        self, attempt: int, tokens: int, sent_ms: int, now_ms: int, wait_ms: int | None, *, known: bool = False
    ) -> None:
        """Record that a call was refused, and how long to wait; a refusal whose cause is `known` tells of no limit."""
        self._hear_silence(now_ms)
        self._spending.settle(now_ms)
        sent = self._sent.pop(attempt, None)
        if sent is not None:
            self._spending.strike(sent.number)
            tokens = sent.tokens
            if sent.heard:
                self._throughput.admitted -= tokens
                self._caps.withdraw_admission(sent.found)
        self._pace.give_back(tokens, self.rate, now_ms)
        took_ms = now_ms - sent_ms
        self._silence_ms = max(SILENCE_MS, min(SILENCE_MAX_MS, took_ms + took_ms // 4), self._silence_ms * 7 // 8)
        if sent_ms <= self._cut_ms:
            return
        self._row = max(self._row, sent.row if sent is not None else 0) + 1
        if self._row == 1 and not known:
            self._cut(sent.found if sent is not None else self._spending.sums(), now_ms)
            self._row_rate = self.rate
        elif not known and sent is not None and sent.row:  # the silence was none: nothing has been learned
            self.rate = min(self.rate, self._row_rate)
            self._calls = self._curve_calls = self._returned_ms = self._beyond_ms = 0
        self._cut_ms = now_ms
        self.rests_until_ms = now_ms + self._waits.record_refusal(wait_ms, self._row, now_ms)
        self._alone, self._alone_ms = True, None

    def rest_ms(self, now_ms: int) -> int:
        """Return how long no call may be sent after the last refusal."""
        return max(0, self.rests_until_ms - now_ms)

    def _cut(self, found: Sums, now_ms: int) -> None:
        """Answer an event: by a cap, by what was measured, or by a cut."""
        if self._calls >= MANY_CALLS or self._dense >= PROVEN_DENSE:
            self._is_proven = self._calls >= PROVEN_CALLS
        measured = self._measure(now_ms)
        self.events += 1
        self._cut_rates.append(self.rate)
        explained = self._caps.learn(found, now_ms, now_ms - self._began_ms)
        if not explained:
            self._lower(measured, now_ms)
            self._calls = self._curve_calls = self._returned_ms = self._beyond_ms = 0
        elif (
            explained >= REFUSALS_MIN
        ):  # then the rate was cut in vain: it falls no lower than before the cuts, nor by more than one
            lowest = min(itertools.islice(reversed(self._cut_rates), explained))
            self.rate = max(lowest, self.rate - self.rate * CUT_PPM // PPM)
            self._hold.end(now_ms)
            self._return_to_caps()
        self._beyond_ms //= 2
        spared, mean = self._cost(self._spending.largest()) * SPARED_PPM // PPM, self._spending.tokens_mean()
        spared = spared if mean is None else min(spared, SPARED_MEANS * mean)
        self._pace.leave_out(spared, self.rate, now_ms)

    def _return_to_caps(self) -> None:
        """Let the rate return to what the caps let through: it was cut for refusals that they explain."""
        capped = self._caps.per_minute(self._spending.tokens_mean() or 0)
        if capped is not None and self._is_stated and (peak := min(capped, self._stated)) > max(self.rate, self._peak):
            self._peak, self._drop_ppm = peak, PPM - self.rate * PPM // peak
            self._curve_calls = self._returned_ms = 0

    def _measure(self, now_ms: int) -> int | None:
        """Return what the limit was seen to let through; soon, if refusals come after few calls each."""
        coarse, exact = self._throughput.measure(now_ms)
        is_far_off = self._calls < MANY_CALLS and not self._is_proven
        if coarse is not None and is_far_off and COARSE_PPM[0] < coarse * PPM // self.rate < COARSE_PPM[1]:
            return max(coarse, self.rate * COARSE_LEAST_PPM // PPM)
        if exact is not None and MEASURED_PPM[0] < exact * PPM // self.rate < MEASURED_PPM[1]:
            return exact
        return None

    def _lower(self, measured: int | None, now_ms: int) -> None:
        times = 1 if self._calls >= MANY_CALLS else CUT_SOME_TIMES if self._calls >= SOME_CALLS else CUT_FEW_TIMES
        cut_ppm, rate = times * CUT_PPM, self.rate
        if measured is not None:
            self._peak = measured  # the limit is known, so a third of the cut is enough
            self.rate = min(rate - rate * cut_ppm // (3 * PPM), measured - measured * HELD_BELOW_PPM // PPM)
        else:
            if self._calls >= MANY_CALLS or not self._peak:
                self._peak = rate - rate * cut_ppm // (3 * PPM)  # below what was refused, above what it is cut to
            else:
                self._peak -= self._peak * CUT_PPM // PPM
            self.rate = rate - rate * cut_ppm // PPM
            if self.events == 1 and rate > self._start and self._is_stated:  # a full bucket has let more through
                self.rate = min(self.rate, self._start - self._start * HELD_BELOW_PPM // PPM)
        self._hold.begin(self._peak, now_ms, isolated=self._calls >= MANY_CALLS, stated=self._stated * self._is_stated)
        self._drop_ppm = max(0, PPM - self.rate * PPM // self._peak)
        self._dense = self._dense + 1 if self._calls < SHORT_CALLS else 0
        is_short = self._dense > 0 and (self._dense < DENSE or self._is_proven)
        steady = RETURN_CALLS_SHORT if is_short else RETURN_CALLS
        part_ppm = ANNEALED_FROM_PPM + (PPM - ANNEALED_FROM_PPM) * (now_ms - self._began_ms) // ANNEALED_MS
        self._return_calls = max(1, steady * min(PPM, part_ppm) // PPM)
