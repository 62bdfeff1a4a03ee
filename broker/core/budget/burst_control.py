"""How much may be spent at once: as much as the server has been seen to bear, and twice that to find out more.

A full bucket would pay for thousands of calls in one instant. Whether the server bears that no header tells: a shorter
window may be enforced beside the minute that headers show, the configured limit may be wrong, a front may drop what
comes too fast. So what has been spent beyond the steady rate, the *depth*, may only be doubled once the server has
been silent about the last doubling: a refusal comes back within a way or two, an answer takes seconds. And not at one
blow: what goes deeper than ever goes one by one, over the same time, so that the first refusal finds few that follow
it. From one call to a full bucket that takes three seconds; where the rate alone is spent, the depth stays near nothing
and nobody waits.

Others may spend as well, and what answers told of the level is as old as the calls they answer. A refusal for want of
what we believed to be there shows that they do: then the depth counts from there, and is doubled anew. It costs no
quota, as what is not spent at once stays in the bucket.

A refusal that the known limits do not explain tells the depth the server does not bear: the *ceiling*. It rises again
slowly, since a shorter window that was a passing thing must not stay for ever. A server that refuses what stays
below the ceiling lends no such depth: it counts by the second, or by six, and whoever spends the rate and a depth
beside it finds each count used up. So each such refusal lowers the ceiling by more than the one before, until next to
nothing is left of it. Where refusals come though next to nothing is spent beyond the rate, the rate itself is too high,
and only a share of it is spent: cut at once, given back in small steps (AIMD, additive increase and multiplicative
decrease), as it is done where nobody tells anything. A step comes after so many calls, so that refusals are few of them
however fast they leave: a cut is made up for by 300.
"""

from collections import deque
from typing import Final

from broker.core.budget.token_bucket import TokenBucket
from broker.core.units import PPM

QUIET_MS: Final = 300
"""A server that has not refused a call within so long has admitted it."""
WAKING_MS: Final = 10
"""So late a caller may come and still go as deep as if it had come in time."""
RISE_AFTER_MS: Final = 600_000
RISE_PARTS: Final = 16
LOWERED_OF_PARTS: Final = 16
"""What the ceiling lets pass was refused: it is lowered by one part of so many, and by twice as much each time."""
SHARE_CUT_PPM: Final = 970_000
SHARE_MIN_PPM: Final = 50_000
SHARE_STEP_PPM: Final = 5_000
SHARE_STEP_CALLS: Final = 50
SHARE_STEP_MIN_MS: Final = 2_500
SHARE_STEP_MAX_MS: Final = 30_000
SHALLOW_MS: Final = 250
"""A depth that the rate refills within so long is next to nothing."""


class BurstControl:
    """The own bucket of one limit, in step with its shortest bucket of tokens.

    Attributes:
        borne: The greatest depth that was not refused, in tokens.
        ceiling: The depth that the server does not bear; None while it has borne all.
        share_ppm: The share of the rate that is spent.
    """

    def __init__(self, capacity: int, period_ms: int, now_ms: int, burst_ms: int | None = None) -> None:
        """Nothing is known of the server; `burst_ms`: the operator wants no more at once than so long refills."""
        self.borne = 0
        self.ceiling: int | None = None
        self.share_ppm = PPM
        self._burst_ms = burst_ms
        self._capacity, self._period_ms = capacity, period_ms
        self._bucket = TokenBucket(capacity, period_ms, capacity, now_ms)
        self._on_trial: deque[tuple[int, int]] = deque()  # when sent and how deep, sent less than QUIET_MS ago
        self._changed_ms = now_ms
        self._paid = 0  # calls, since the share was changed
        self._deeper_us = 0  # when the next call may go deeper than ever
        self._found_ms = now_ms  # when the ceiling was last found
        self._lower_by = 1  # parts of it, when it is refused the next time
        self._anew_ms = now_ms - 1  # what was sent before tells nothing any more

    def inherit(self, borne: int, ceiling: int | None) -> None:
        """What a predecessor has found out."""
        self.borne, self.ceiling = borne, ceiling

    def follow(self, capacity: int, period_ms: int, now_ms: int) -> None:
        """The bucket kept in step with has another size."""
        if capacity != self._capacity or period_ms != self._period_ms:
            self._capacity, self._period_ms = capacity, period_ms
            self._resize(now_ms)

    def payable_at(self, amount: int, now_ms: int) -> int:
        """The first instant at which so much more may be spent; what is larger than all that waits for depth 0."""
        self._settle(now_ms)
        at_ms = self._within(amount, self.borne, now_ms)
        if at_ms > now_ms:
            borne = self.borne
            for sent_ms, depth in self._on_trial:  # silence about it lets one go deeper, before the refill does
                if sent_ms + QUIET_MS >= at_ms:
                    break
                if depth > borne:
                    borne = depth
                    at_ms = min(at_ms, max(sent_ms + QUIET_MS, self._within(amount, depth, now_ms)))
        return at_ms

    def spare(self, now_ms: int) -> int:
        """How much more may be spent from now on, however soon; what is admitted meanwhile only adds to it."""
        self._settle(now_ms)
        return self._known(self.borne, self._bound(self.borne)) - self._depth(now_ms)

    def pay(self, amount: int, now_ms: int) -> int:
        """Spend; returns the depth afterwards, which names the call if it is refused."""
        self._settle(now_ms)
        self._paid += 1
        trials = self._on_trial
        capacity = self._bucket.capacity
        depth = capacity - self._bucket.pay(amount, now_ms)
        if depth > self.borne:
            self._space(amount, depth, now_ms)
        if depth > capacity:  # more than any server lends: our law overrates
            depth = capacity
            self._bucket.set_level(0, now_ms)
        while trials and trials[-1][1] <= depth and trials[-1][0] == now_ms:
            trials.pop()
        trials.append((now_ms, depth))
        return depth

    def give_back(self, amount: int, now_ms: int) -> None:
        """A call was refused and took nothing."""
        self._bucket.pay(-amount, now_ms)

    def admitted(self, depth: int, sent_ms: int) -> None:
        """An answer says that the call which made the depth so great, sent then, was admitted."""
        if depth > self.borne and sent_ms > self._anew_ms:
            self.borne = depth
            self._deeper_us = 0

    def outspent(self, sent_ms: int, now_ms: int) -> None:
        """A call sent then was refused, for there was less than answers had told: begin anew, from next to nothing.

        Where another bound is known, the operator's or the server's, that one holds, and what was spent counts.
        """
        if sent_ms > self._anew_ms and self.ceiling is None and self._burst_ms is None:
            self._anew_ms = now_ms
            self.borne = self._deeper_us = 0
            self._on_trial.clear()
            self._bucket.set_level(self._bucket.capacity, now_ms)

    def unexplained(self, depth: int, amount: int, sent_ms: int, now_ms: int) -> None:
        """A call sent then, that every known limit could pay, was refused; sending it had made the depth `depth`."""
        self._on_trial = deque(trial for trial in self._on_trial if trial[1] < depth)
        self._changed_ms = now_ms
        if (depth - amount) * self._period_ms > SHALLOW_MS * self._capacity:
            self.ceiling = max(amount, self._lowered(depth - amount, sent_ms))
            self._found_ms = now_ms
            self.borne = min(self.borne, self.ceiling)
        else:
            self._paid = 0
            self.share_ppm = max(SHARE_MIN_PPM, self.share_ppm * SHARE_CUT_PPM // PPM)
            self._resize(now_ms)

    def _lowered(self, borne: int, sent_ms: int) -> int:
        """Where the ceiling is, after a refusal that left so much to be borne."""
        if self.ceiling is None:
            return borne
        lowest = min(self.ceiling, borne)
        if sent_ms <= self._found_ms:  # it left before the ceiling was known to be so low
            return lowest
        parts, self._lower_by = self._lower_by, min(2 * self._lower_by, LOWERED_OF_PARTS // 2)
        return lowest - lowest * parts // LOWERED_OF_PARTS

    def _settle(self, now_ms: int) -> None:
        """Silence since a call was sent: it was admitted. Silence for long: perhaps the server bears more."""
        trials = self._on_trial
        while trials and trials[0][0] + QUIET_MS <= now_ms:
            _, depth = trials.popleft()
            if depth > self.borne:
                self.borne = depth
        if self.share_ppm == PPM and self.ceiling is None:
            return
        if self.share_ppm < PPM:
            steps = self._steps(now_ms - self._changed_ms)
            if steps:
                self._changed_ms, self._paid = now_ms, 0
                self.share_ppm = min(PPM, self.share_ppm + steps * SHARE_STEP_PPM)
                self._resize(now_ms)
        elif now_ms - self._changed_ms >= RISE_AFTER_MS:
            self._changed_ms = now_ms
            risen = (self.ceiling or 0) + 1 + (self.ceiling or 0) // RISE_PARTS
            self.ceiling = risen if risen < self._capacity else None
            self._lower_by = 1

    def _steps(self, waited_ms: int) -> int:
        """By how many the share is given back, so long after it was changed."""
        calls_tell = self._paid >= SHARE_STEP_CALLS and waited_ms >= SHARE_STEP_MIN_MS
        return max(waited_ms // SHARE_STEP_MAX_MS, 1 if calls_tell else 0)

    def _within(self, amount: int, borne: int, now_ms: int) -> int:
        """The first instant at which so much more keeps within the bound, once depth `borne` has been borne."""
        bucket = self._bucket
        bound = self._bound(borne)
        at_ms = bucket.payable_at(amount, bucket.capacity - bound, now_ms)
        deeper_ms = -(-self._deeper_us // 1_000)
        if at_ms < deeper_ms:  # sooner only as deep as one has been
            known_at_ms = bucket.payable_at(amount, bucket.capacity - self._known(borne, bound), now_ms)
            return min(max(at_ms, known_at_ms), deeper_ms)
        return at_ms

    def _bound(self, borne: int) -> int:
        """How deep one may go, once depth `borne` has been borne."""
        bound = max(2 * borne, self._always())
        if self._burst_ms is not None:
            bound = min(bound, max(1, self._capacity * self._burst_ms // self._period_ms))
        return bound if self.ceiling is None else min(bound, self.ceiling)

    def _space(self, amount: int, depth: int, now_ms: int) -> None:
        """A call has gone so deep: if that is deeper than ever, the next one does so a while later."""
        known = self._known(self.borne, self._bound(self.borne))
        if depth > known:
            apart_us = amount * QUIET_MS * 1_000 // (known + self._always() + 1)
            from_us = max(self._deeper_us, (now_ms - WAKING_MS) * 1_000)
            self._deeper_us = min(from_us + apart_us, (now_ms + QUIET_MS) * 1_000)

    def _known(self, borne: int, bound: int) -> int:
        """How deep one has been, or may always go."""
        return min(max(borne, self._always()), bound)

    def _always(self) -> int:
        """What the rate refills while the server is silent."""
        return self._capacity * QUIET_MS // self._period_ms

    def _depth(self, now_ms: int) -> int:
        return self._bucket.capacity - self._bucket.level(now_ms)

    def _resize(self, now_ms: int) -> None:
        depth = self._depth(now_ms)
        capacity = max(1, self._capacity * self.share_ppm // PPM)
        self._bucket.resize(capacity, self._period_ms, now_ms)
        self._bucket.set_level(max(0, capacity - depth), now_ms)
