"""How many whole requests a second the core lives through: taken, admitted, answered, settled.

One limit that can always pay, 64 calls in flight, three lanes, answers with headers already judged. Prints requests a
second; best of three rounds, since the machine is noisy.

    python -m benchmarks.core_throughput [--requests 100000] [--profile]
"""

import argparse
import cProfile
import time
from collections import deque

from broker.core.budget import Budget, Checkpoint, LimitSettings
from broker.core.commands import Call, Publish
from broker.core.dispatch import Dispatch
from broker.core.events import Answered, Committed, Promoted, Renewed, Taken
from broker.core.identity import Identity
from broker.core.lanes import LaneRule
from broker.core.progress import PartitionProgress
from broker.core.reading import MINUTE_MS, Metric, Reading
from broker.core.retry import RetryRules
from broker.core.rules import DispatchRules
from broker.core.term import LeaseTimes
from broker.core.ticket import CallNumber, Candidate, LanePartition, Source, TicketNumber
from broker.core.verdict import Meaning, Verdict

LANES = ("urgent", "standard", "bulk")
INFLIGHT = 64
CHARGE = 400
CAPACITY = 10_000_000_000


VERDICT = Verdict(
    Meaning.OK,
    retryable=False,
    wait_ms=None,
    readings=(
        Reading(Metric.TOKENS, CAPACITY, CAPACITY - 1_000_000, MINUTE_MS),
        Reading(Metric.REQUESTS, CAPACITY, CAPACITY - 100, MINUTE_MS),
    ),
    snapshot=None,
    counts_as_attempt=False,
    sentence="",
)


def rules() -> DispatchRules:
    """Three lanes with the usual shares."""
    lanes = tuple(
        LaneRule(name, order, 50_000 if order == 0 else 0, 0 if order == 0 else 50_000, 2_000, 1 << 30)
        for order, name in enumerate(LANES)
    )
    return DispatchRules(
        lanes=lanes,
        retry=RetryRules(60_000, 8),
        lease=LeaseTimes(),
        inflight_max=INFLIGHT,
        held_bytes_max=1 << 30,
        parked_bytes_max=1_000_000,
        dedupe_window_ms=3_600_000,
        dedupe_ids_max=2_000_000,
    )


class Run:
    """One core, and no more around it than answers its commands at once."""

    def __init__(self, requests: int) -> None:
        self.requests = requests
        self.core = Dispatch(rules(), make_budget=rich, dice=lambda: 0.5)
        self.places = [LanePartition(lane, number) for lane in LANES for number in range(2)]
        self.core.on(Promoted({place: PartitionProgress(0) for place in self.places}, 1, 1_700_000_000_000), 0)
        self.offsets = dict.fromkeys(self.places, 0)
        self.flying: deque[CallNumber] = deque()
        self.made = self.settled = 0
        self.now_ms = 1

    def whole(self) -> float:
        """Requests a second, until all are settled."""
        begun_s = time.perf_counter()
        while self.settled < self.requests:
            self.now_ms += 1
            if self.now_ms % 400 == 2:
                self.core.on(Renewed(self.now_ms), self.now_ms)
            left = 0 if not self.settled or self.made >= self.requests else INFLIGHT // 2
            while len(self.flying) > left:  # the first call of a limit goes alone
                self.core.on(Answered(self.flying.popleft(), VERDICT, 2_000), self.now_ms)
            for place in self.places:
                self.take(place)
            self.carry_out()
        return self.requests / (time.perf_counter() - begun_s)

    def take(self, place: LanePartition) -> None:
        """Some records of a partition, while there is room and somebody has not been served."""
        for _ in range(min(40, self.core.room(place), self.requests - self.made, 500 - self.made + self.settled)):
            identity = Identity(self.made.to_bytes(16, "big"), 0, b"finger..")
            content = Candidate(identity, 0, "gpt-4o-mini", "gpt-4o-mini", CHARGE, 1 << 50)
            source = Source(place, self.offsets[place])
            self.offsets[place] += 1
            self.made += 1
            self.core.on(Taken(TicketNumber(self.made), source, self.now_ms, 2_000, content), self.now_ms)

    def carry_out(self) -> None:
        """Calls leave, transactions are committed at once."""
        for command in self.core.commands(self.now_ms):
            match command:
                case Call():
                    self.flying.append(command.call)
                case Publish():
                    self.settled += len(command.batch.settlements)
                    self.core.on(Committed(command.batch.serial, self.now_ms), self.now_ms)


def rich(name: str, now_ms: int, checkpoint: Checkpoint | None) -> Budget:
    """A limit that can always pay."""
    return Budget(LimitSettings(name, CAPACITY, CAPACITY), now_ms, checkpoint)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    if asked.profile:
        cProfile.runctx("Run(asked.requests).whole()", globals(), {"Run": Run, "asked": asked}, sort="tottime")
        return
    rates = [Run(asked.requests).whole() for _ in range(3)]
    print(f"{max(rates):,.0f} requests/s (rounds: {', '.join(f'{rate:,.0f}' for rate in rates)})")


if __name__ == "__main__":
    main()
