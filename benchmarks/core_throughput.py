"""How many whole requests a second the core lives through: taken, admitted, answered, settled.

One limit that can always pay, 64 calls in flight, three lanes, answers with headers already judged. Prints requests a
second; best of three rounds, since the machine is noisy.

    python -m benchmarks.core_throughput [--requests 100000] [--profile]
"""

import argparse
import cProfile
import time
from collections import deque

from broker.core.budget import Budget, LimitSettings
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


def rules() -> DispatchRules:
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


def live(requests: int) -> float:
    """Requests a second."""

    def make(name: str, now_ms: int, checkpoint: object) -> Budget:
        return Budget(LimitSettings(name, CAPACITY, CAPACITY), now_ms, None)

    core = Dispatch(rules(), make_budget=make, dice=lambda: 0.5)
    places = [LanePartition(lane, number) for lane in LANES for number in range(2)]
    core.on(Promoted({place: PartitionProgress(0) for place in places}, 1, 1_700_000_000_000), 0)
    verdict = Verdict(
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
    offsets = dict.fromkeys(places, 0)
    flying: deque[CallNumber] = deque()
    made, settled, now_ms = 0, 0, 1
    begun_s = time.perf_counter()
    while settled < requests:
        now_ms += 1
        if now_ms % 400 == 2:
            core.on(Renewed(now_ms), now_ms)
        while len(flying) > (INFLIGHT // 2 if settled else 0):  # the first call of a limit goes alone
            core.on(Answered(flying.popleft(), verdict, 2_000), now_ms)
        for place in places:
            while made < requests and core.room(place) > 0 and made - settled < 500:
                identity = Identity(made.to_bytes(16, "big"), 0, b"finger..")
                content = Candidate(identity, 0, "gpt-4o-mini", "gpt-4o-mini", CHARGE, 1 << 50)
                source = Source(place, offsets[place])
                offsets[place] += 1
                made += 1
                core.on(Taken(TicketNumber(made), source, now_ms, 2_000, content), now_ms)
                if made % 40 == 0:  # some of each partition in turn
                    break
        for command in core.commands(now_ms):
            match command:
                case Call():
                    flying.append(command.call)
                case Publish():
                    settled += len(command.batch.settlements)
                    core.on(Committed(command.batch.serial, now_ms), now_ms)
        if not core.limits.waiting() and made >= requests:
            while flying:
                core.on(Answered(flying.popleft(), verdict, 2_000), now_ms)
            now_ms += 50
    return requests / (time.perf_counter() - begun_s)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    if asked.profile:
        cProfile.runctx("live(asked.requests)", globals(), {"live": live, "asked": asked}, sort="tottime")
        return
    rates = [live(asked.requests) for _ in range(3)]
    print(f"{max(rates):,.0f} requests/s (rounds: {', '.join(f'{rate:,.0f}' for rate in rates)})")


if __name__ == "__main__":
    main()
