"""Throughput of the core in whole requests a second of one processor: taken, admitted, answered, settled.

One limit that can always pay, three lanes, answers with headers already judged, which come in any order. Prints the
best of three rounds, since the machine is noisy. `--table` shows whether anything grows with what the core holds: in
each row one thing is many times as large as in the first.

    python -m benchmarks.core_throughput [--requests 100000] [--table] [--profile]
        [--waiting 400] [--inflight 64] [--call-ms 2] [--partitions 6] [--ids 0] [--resting 0] [--patience-ms 0]
"""

import argparse
import cProfile
import random
import time
from dataclasses import astuple, dataclass, fields, replace
from itertools import cycle

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric, Reading
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.budget.budget import Budget, Checkpoint, LimitBeliefs
from headrace.broker.core.commands import Call, Publish, SettledEntry
from headrace.broker.core.config import DispatchRules, LaneRule, LeaseTimes, RetryRules
from headrace.broker.core.dispatch import Dispatch
from headrace.broker.core.events import Answered, Committed, LedgerRead, Promoted, Renewed, Taken
from headrace.broker.core.identity.dedupe import Fate, Identity
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.ticket import CallNumber, Candidate, LanePartition, Source, TicketNumber
from headrace.broker.service.gc_tuning import collect_rarely

LANES = ("urgent", "standard", "bulk")
CHARGE = 400
PRICES = Prices.flat(CHARGE)
CAPACITY = 10_000_000_000
WINDOW_MS = 3_600_000
STARTED_WALL_MS = 1_700_000_000_000
ANSWERS_A_STEP = 32
TAKEN_A_TURN = 40
RENEW_EVERY_MS = 400
NEVER = 1 << 50
PARKED_ONE_OF = 10  # of the ids that are known


VERDICT = Verdict(
    Meaning.OK,
    retryable=False,
    wait_ms=None,
    readings=(
        Reading(LimitMetric.TOKENS, CAPACITY, CAPACITY - 1_000_000, MINUTE_MS),
        Reading(LimitMetric.REQUESTS, CAPACITY, CAPACITY - 100, MINUTE_MS),
    ),
    snapshot=None,
    counts_as_attempt=False,
    sentence="",
)


@dataclass(frozen=True, slots=True)
class Load:
    """What the core holds while it works.

    Attributes:
        waiting: Requests in the lanes.
        inflight: Calls in flight.
        call_ms: The mean duration of a call.
        partitions: Of all lanes together.
        ids: How many answered ids are known already, one of ten of them parked; no more are remembered.
        resting: Other limits that can pay no request; one request waits for each.
        patience_ms: How long a request may wait; 0: for ever. Otherwise all wait in one queue, under a quota that
            serves just their number in that time: every request is always near its deadline.
    """

    waiting: int = 400
    inflight: int = 64
    call_ms: int = 2
    partitions: int = 6
    ids: int = 0
    resting: int = 0
    patience_ms: int = 0

    @property
    def step_ms(self) -> int:
        """The time between two steps, in which `ANSWERS_A_STEP` calls end."""
        return max(1, self.call_ms * ANSWERS_A_STEP // self.inflight)

    def places(self) -> list[LanePartition]:
        """Return every partition, the lanes by turns."""
        lanes = LANES[:1] if self.patience_ms else LANES
        return [LanePartition(lanes[number % len(lanes)], number // len(lanes)) for number in range(self.partitions)]

    def budget(self, name: str, now_ms: int, checkpoint: Checkpoint | None) -> Budget:
        """Make a limit that can always pay, unless requests have deadlines."""
        tokens = self.waiting * CHARGE * MINUTE_MS // self.patience_ms if self.patience_ms else CAPACITY
        return Budget(LimitBeliefs(name, tokens, CAPACITY), now_ms, checkpoint)

    def verdict(self) -> Verdict:
        """Return the verdict of each call; with deadlines it has no readings of what is left."""
        return replace(VERDICT, readings=()) if self.patience_ms else VERDICT

    def rules(self) -> DispatchRules:
        """Return the rules: three lanes with the usual shares."""
        lanes = tuple(
            LaneRule(name, order, 0 if order else 50_000, 50_000 if order else 0, 2_000 + self.waiting, 1 << 30)
            for order, name in enumerate(LANES)
        )
        return DispatchRules(
            lanes=lanes,
            retry=RetryRules(60_000, 8),
            lease=LeaseTimes(),
            inflight_max=self.inflight,
            held_bytes_max=1 << 30,
            parked_bytes_max=1_000_000,
            dedupe_window_ms=WINDOW_MS,
            dedupe_ids_max=self.ids or 2_000_000,
        )


TABLE = {
    "as it is": Load(),
    "waiting": Load(waiting=10_000),
    "in flight": Load(inflight=1_500),
    "in flight, calls of 1.5 s": Load(inflight=1_500, call_ms=1_500),
    "partitions": Load(partitions=200),
    "ids": Load(ids=1_000_000),
    "limits at rest": Load(resting=200),
    "waiting, calls of 0.64 s": Load(waiting=10_000, call_ms=640),
    "near the edge": Load(waiting=10_000, call_ms=640, patience_ms=100_000),
}


class Run:
    """One core, and around it only code that answers its commands at once."""

    def __init__(self, requests: int, load: Load) -> None:
        self.requests = requests
        self.load = load
        self.core = Dispatch(load.rules(), make_budget=load.budget, dice=lambda: 0.5)
        self.dice = random.Random(7)
        self.verdict = load.verdict()
        self.learn_ids()
        places = load.places()
        self.core.on(Promoted({place: PartitionProgress(0) for place in places}, 1, STARTED_WALL_MS), 0)
        self.offsets = dict.fromkeys(places, 0)
        self.turns = cycle(places)
        self.flying: list[CallNumber] = []
        self.made = self.settled = 0
        self.metadata_chars = 0  # of the maps, which the service writes into its commits
        self.now_ms = 1
        for number in range(load.resting):
            self.take_one(places[-1], NEVER + number, limit=f"resting-{number}")
            self.core.limits.limit_queue(f"resting-{number}", 0).budget.pause_until(NEVER)

    def learn_ids(self) -> None:
        """Read in ids of the last hour; the parked ones are of the last half hour."""
        for number in range(self.load.ids):
            parked = number % PARKED_ONE_OF == 0
            age_ms = (self.load.ids - number) * WINDOW_MS // self.load.ids // (2 if parked else 1)
            identity = Identity((number + 1).to_bytes(16, "little"), 0, b"finger..")
            entry = SettledEntry(identity, 1, Fate.PARKED if parked else Fate.COMPLETED)
            self.core.on(LedgerRead(STARTED_WALL_MS - age_ms, (entry,), (), ()), 0)

    def whole(self) -> float:
        """Return requests a second of processor time, measured until all are settled."""
        begun_s = time.process_time()
        while self.settled < self.requests:
            self.now_ms += self.load.step_ms
            if self.now_ms % RENEW_EVERY_MS < self.load.step_ms:
                self.core.on(Renewed(self.now_ms), self.now_ms)
            self.answer()
            self.take()
            self.carry_out()
        return self.requests / (time.process_time() - begun_s)

    def answer(self) -> None:
        """End some calls; once the lanes have run dry, all of them. The first call of a limit goes alone."""
        ending = ANSWERS_A_STEP if self.settled and self.made < self.requests else len(self.flying)
        for _ in range(min(ending, len(self.flying))):
            place = int(self.dice.random() * len(self.flying))
            call, self.flying[place] = self.flying[place], self.flying[-1]
            self.flying.pop()
            self.core.on(Answered(call, self.verdict, 2_000), self.now_ms)

    def take(self) -> None:
        """Take records, from one partition after the other, while there is room and requests are left to serve."""
        wanted = min(self.requests, self.settled + self.load.waiting + self.load.inflight) - self.made
        for place, _ in zip(self.turns, self.offsets, strict=False):
            if wanted <= 0:
                return
            taking = min(wanted, TAKEN_A_TURN, self.core.room(place))
            wanted -= taking
            for _ in range(taking):
                self.made += 1
                self.take_one(place, self.made)

    def take_one(self, place: LanePartition, number: int, limit: str = "gpt-4o-mini") -> None:
        """Take the next record of a partition."""
        identity = Identity(number.to_bytes(16, "big"), 0, b"finger..")
        patience_ms = self.load.patience_ms
        deadline_ms = self.now_ms + patience_ms if patience_ms else NEVER
        content = Candidate(identity, 0, limit, limit, PRICES, deadline_ms)
        source = Source(place, self.offsets[place])
        self.offsets[place] += 1
        self.core.on(Taken(TicketNumber(number), source, self.now_ms, 2_000, content), self.now_ms)

    def carry_out(self) -> None:
        """Start calls and commit transactions at once, then ask how long the service may sleep."""
        for command in self.core.commands(self.now_ms):
            match command:
                case Call():
                    self.flying.append(command.call)
                case Publish():
                    for stored in command.batch.offsets.values():
                        self.metadata_chars += len(stored.metadata)
                    self.settled += len(command.batch.settlements)
                    self.core.on(Committed(command.batch.serial, self.now_ms), self.now_ms)
        self.core.wake_at()


def best(requests: int, load: Load) -> float:
    """Return the best of three rounds."""
    return max(Run(requests, load).whole() for _ in range(3))


def show_table(requests: int) -> None:
    """Print one row for each thing that the core may hold many of."""
    print("| many | waiting | in flight | a call, ms | partitions | ids | limits at rest | patience, ms | requests/s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, load in TABLE.items():
        figures = (*astuple(load), best(requests, load))
        print(f"| {name} | {' | '.join(f'{figure:,.0f}' for figure in figures)} |", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--profile", action="store_true")
    for each in fields(Load):
        parser.add_argument(f"--{each.name.replace('_', '-')}", type=int, default=each.default)
    asked = parser.parse_args()
    collect_rarely()  # as the dispatcher does
    load = Load(**{each.name: getattr(asked, each.name) for each in fields(Load)})
    if asked.table:
        show_table(asked.requests)
    elif asked.profile:
        run = Run(asked.requests, load)
        cProfile.runctx("run.whole()", {}, {"run": run}, sort="tottime")
    else:
        print(f"{best(asked.requests, load):,.0f} requests/s")


if __name__ == "__main__":
    main()
