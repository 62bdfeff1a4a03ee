"""Retry budget: how many retries each lane may take back now, as a part of its fresh work, and a floor.

Pure: instants are passed in as numbers. A lane earns `share` of a retry with each fresh record, and `floor_per_s` with
each second. It may spend its earnings for ten seconds. So in any interval a lane takes no more retries than were earned
in it and in the ten seconds before; and however little fresh work there is, retries come back.

Fresh work is the growth of the lane's partitions less the retrier's own writes there: its records, and the marker that
each of its transactions leaves on every partition it touches. Without that subtraction a retry would earn a part of the
next.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

EARNINGS_LAST_MS = 10_000
"""Lifetime of what fresh work has earned: an hour of quiet retries saves up no burst."""
_SLOT_MS = 1_000
_ONE = 1_000_000  # a retry, in the unit in which it is earned


@dataclass(frozen=True, slots=True)
class RetryBudgetRules:
    """Settings: `share`, retries for each fresh record, 0 to 1; `floor_per_s`, retries a second anyway, 0.2 or more."""

    share: float
    floor_per_s: float


@dataclass(slots=True)
class _Earned:
    """Unspent earnings of one second."""

    since_ms: int
    amount: int


class RetryBudget:
    """Retry budget of one lane."""

    def __init__(self, rules: RetryBudgetRules, now_ms: int) -> None:
        """Nothing is earned yet."""
        self._share = round(rules.share * _ONE)
        self._a_ms = max(1, round(rules.floor_per_s * _ONE / 1_000))
        self._earned: deque[_Earned] = deque()
        self._floor_until_ms = now_ms
        self._end: int | None = None
        self._partitions = 0
        self._ours = 0  # offsets written by us that the lane's known end does not include yet

    def observe(self, end: int, partitions: int, now_ms: int) -> None:
        """Earn from the lane's growth, given the sum of its partitions' ends and the number of partitions."""
        grown = 0 if self._end is None else max(0, end - self._end)
        self._end, self._partitions = end, partitions
        self._flow_in(now_ms)
        self._earn(self._share * max(0, grown - self._ours), now_ms)
        self._ours = max(0, self._ours - grown)

    def take(self, now_ms: int) -> bool:
        """Spend one retry, if one has been earned."""
        self._flow_in(now_ms)
        if sum(each.amount for each in self._earned) < _ONE:
            return False
        missing = _ONE
        while missing:
            oldest = self._earned[0]
            spent = min(missing, oldest.amount)
            oldest.amount -= spent
            missing -= spent
            if not oldest.amount:
                self._earned.popleft()
        return True

    def writes(self, records: int) -> None:
        """Note that a transaction of ours is about to write `records` records to the lane."""
        self._ours += records + min(records, self._partitions or records)

    def _flow_in(self, now_ms: int) -> None:
        """Add the floor for the time since the last call."""
        since_ms = min(now_ms - self._floor_until_ms, EARNINGS_LAST_MS)
        self._floor_until_ms = now_ms
        self._earn(self._a_ms * since_ms, now_ms)

    def _earn(self, amount: int, now_ms: int) -> None:
        since_ms = now_ms - now_ms % _SLOT_MS
        if amount and self._earned and self._earned[-1].since_ms >= since_ms:
            self._earned[-1].amount += amount
        elif amount:
            self._earned.append(_Earned(since_ms, amount))
        while self._earned and self._earned[0].since_ms <= now_ms - EARNINGS_LAST_MS:
            self._earned.popleft()


class RetryBudgets:
    """Retry budgets of all lanes."""

    def __init__(self, rules: RetryBudgetRules, lanes: Iterable[str]) -> None:
        """Call `begin` before anything else."""
        self._rules = rules
        self._lanes = list(lanes)
        self._of: dict[str, RetryBudget] = {}

    def begin(self, now_ms: int) -> None:
        """Begin a stretch: forget the lanes' ends and all earnings."""
        self._of = {lane: RetryBudget(self._rules, now_ms) for lane in self._lanes}

    def __getitem__(self, lane: str) -> RetryBudget:
        return self._of[lane]
