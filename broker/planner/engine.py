"""A run in virtual time: the dispatcher's own core, the simulated OpenAI, and one heap of the events between them.

    run = VirtualRun(Stage.of(settings), VirtualUpstream(UpstreamSettings(tokens_per_minute=60_000)), arrivals)
    run.finish().lanes["urgent"].wait_ms.at(0.95)
    run.upstream.books(run.now_us).accounts["gpt-4o-mini"][Metric.TOKENS].share

It does what the service's shell does: takes records while the core has room for them, fifty of a partition and then the
next one's; carries calls to OpenAI and back; commits one transaction at a time; renews the lease in time; puts parked
requests back when they are due, as the retrier would. Instants of the core are milliseconds, of the simulator
microseconds; all events within one millisecond go to the core before its commands are fetched, as by a loop that wakes
once for all of them. The core itself states when it next needs a turn: most answers can wait for others.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Final, assert_never

from headrace.broker.core import commands
from headrace.broker.core.answers.error_body import answer_of
from headrace.broker.core.answers.rate_limit_headers import LimitMetric, reading_of
from headrace.broker.core.answers.verdict import OK, Answer, Verdict, judge, success
from headrace.broker.core.dispatch import Dispatch
from headrace.broker.core.events import Answered, Committed, Promoted, Renewed, Taken
from headrace.broker.core.pricing.law_identification import TokenUsage
from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.ticket import CallNumber, Source, TicketNumber
from headrace.broker.planner.arrivals import ENDPOINTS, Arrival
from headrace.broker.planner.backlog import Backlog, Cargo
from headrace.broker.planner.record import LaneRecord, RunObserver, RunRecord
from headrace.broker.planner.stage import Stage, Times
from headrace.broker.simulator.admission import Metric as PlayedMetric
from headrace.broker.simulator.virtual import Ask, VirtualAnswer, VirtualUpstream, Visit

RECORDS_A_TAKE: Final = 50  # as the service's intake
WALL_MS: Final = 1_700_000_000_000
_NEVER_MS: Final = 1 << 52
_OUTCOME_BYTES: Final = 9_000  # beside the text of its answer
_RECORD_BYTES: Final = 500  # beside the text of its prompt
_METRICS: Final = {played: LimitMetric(played) for played in (PlayedMetric.TOKENS, PlayedMetric.REQUESTS)}
_TIMED_OUT: Final = judge(Answer(None, {}, "timeout", None, None, ""))
_CUT_OFF: Final = judge(Answer(None, {}, "connection", None, None, ""))


class VirtualRun:
    """One run. `record` and the upstream's books may be read whenever it stands still."""

    def __init__(
        self,
        stage: Stage,
        upstream: VirtualUpstream | Mapping[str, VirtualUpstream],
        arrivals: Iterable[Arrival],
        times: Times | None = None,
        *,
        watcher: RunObserver | None = None,
    ) -> None:
        """`arrivals` come in the order of their instants, from 0 on; `upstream` was opened at 0.

        Where limits differ there is an upstream for each model, by its name; `upstream` is then the first of them.
        """
        times = times or Times()
        by_model = {} if isinstance(upstream, VirtualUpstream) else upstream
        self.upstream = upstream if isinstance(upstream, VirtualUpstream) else next(iter(upstream.values()))
        self._by_model: Mapping[str, VirtualUpstream] = by_model
        self.record = RunRecord({rule.name: LaneRecord() for rule in stage.rules.lanes})
        self.now_us = 0
        self._stage, self._watcher = stage, watcher
        self._chance = Random(times.seed).random
        self._way_us = (times.way_ms[0] * 1_000, (times.way_ms[1] - times.way_ms[0]) * 1_000)
        self._commit_us = round(times.commit_ms * 1_000)
        self._timeout_us = round(times.timeout_s * 1_000_000)
        self._arrivals: Iterator[Arrival] = iter(arrivals)
        self._next = next(self._arrivals, None)
        self._agenda: list[tuple[int, int, Callable[..., object], tuple[object, ...]]] = []
        self._serials = count()  # events at one instant happen in the order in which they were planned
        self._numbers = self._tickets = self._open = 0
        self._backlog = Backlog(self.record.lanes, stage.partitions)
        self._hungry: dict[str, None] = {}  # lanes in which something may be taken
        self._hold: dict[int, Cargo] = {}
        self.core = Dispatch(stage.rules, make_budget=stage.make_budget, dice=self._chance)
        self.core.on(Promoted({place: PartitionProgress(0) for place in self._backlog.places()}, 1, WALL_MS), 0)
        self._renew_at_ms = 0
        self._wake_ms = 0  # when there is something to take, or the core needs a turn

    # ------------------------------------------------------------------ the clock

    @property
    def now_ms(self) -> int:
        """The core's clock."""
        return self.now_us // 1_000

    @property
    def is_over(self) -> bool:
        """Whether every request has come and has its outcome."""
        return self._next is None and not self._open

    def finish(self) -> RunRecord:
        """Run to the end."""
        is_over = self.advance(None)
        assert is_over, "while a request has no outcome, a leader commits or waits to"
        return self.record

    def count_anew(self, watcher: RunObserver | None) -> None:
        """Start a new record for arrivals and calls from now on, without those before."""
        self.record, self._watcher = RunRecord({lane: LaneRecord() for lane in self.record.lanes}), watcher

    def advance(self, until_ms: int | None) -> bool:
        """Run to the end of a millisecond, or to the end of the run; return whether the run is over."""
        last_ms = _NEVER_MS if until_ms is None else until_ms
        while self._open or self._next is not None:
            turn_ms = self._happen_before_turn(last_ms)
            if turn_ms > last_ms:
                self.now_us = max(self.now_us, last_ms * 1_000)
                return False
            self.now_us = max(self.now_us, turn_ms * 1_000)
            while self._next is not None and self._next.at_ms <= turn_ms:
                self._receive(self._next)
                self._next = next(self._arrivals, None)
            self._turn(turn_ms)
        return True

    def _happen_before_turn(self, last_ms: int) -> int:
        """Run the events planned before the end of the next turn, in order; return when that turn is."""
        agenda = self._agenda
        comes_ms = _NEVER_MS if self._next is None else self._next.at_ms
        while True:
            turn_ms, now_ms = self._wake_ms, self.now_us // 1_000
            if comes_ms < turn_ms:
                turn_ms = comes_ms
            if turn_ms < now_ms:
                turn_ms = now_ms
            before_us = ((turn_ms if turn_ms < last_ms else last_ms) + 1) * 1_000
            while agenda and agenda[0][0] < before_us:
                at_us, _, happen, what = heappop(agenda)
                if at_us > self.now_us:
                    self.now_us = at_us
                happen(*what)
                if self._wake_ms < turn_ms:
                    break
            else:
                return turn_ms

    def _later(self, at_us: int, happen: Callable[..., object], *what: object) -> None:
        heappush(self._agenda, (at_us, next(self._serials), happen, what))

    def _way(self) -> int:
        shortest_us, spread_us = self._way_us
        return int(shortest_us + spread_us * self._chance())

    # ------------------------------------------------------------------ the lanes

    def _receive(self, arrival: Arrival) -> None:
        record = self.record.lanes[arrival.lane]
        record.arrived += 1
        self._open += 1
        self._numbers += 1
        self._write(Cargo(self._numbers, arrival, record))
        if self._watcher is not None:
            self._watcher.arrived(arrival.lane, arrival.at_ms)

    def _write(self, cargo: Cargo) -> None:
        """Write a record, a producer's or the retrier's."""
        self._wake_ms = 0
        self._backlog.append(cargo)
        self._hungry[cargo.arrival.lane] = None

    def _take(self, now_ms: int) -> None:
        """Take fifty records of each partition in turn, until none is left or the core has no room for the rest."""
        core, backlog = self.core, self._backlog
        hungry, self._hungry = self._hungry, {}
        for lane in hungry:
            passed_over, full = 0, backlog.full(lane)
            while passed_over < len(full):
                room = core.room(full[0])
                if room <= 0:
                    passed_over += 1
                    backlog.pass_over(lane)
                    continue
                passed_over = 0
                for source, cargo in backlog.take(lane, min(room, RECORDS_A_TAKE)):
                    self._taken(source, cargo, now_ms)

    def _taken(self, source: Source, cargo: Cargo, now_ms: int) -> None:
        self._tickets += 1
        self._hold[self._tickets] = cargo
        arrival = cargo.arrival
        content = self._stage.recognise(arrival, cargo.number, cargo.attempt, cargo.failures)
        weight = arrival.size.content_bytes + _RECORD_BYTES
        taken = Taken(TicketNumber(self._tickets), source, WALL_MS + arrival.at_ms, weight, content)
        self.core.on(taken, now_ms)

    # ------------------------------------------------------------------ the core

    def _turn(self, now_ms: int) -> None:
        """Take records that fit and carry out the core's commands, until there are no more."""
        core = self.core
        if now_ms >= self._renew_at_ms:
            core.on(Renewed(now_ms), now_ms)
            self._renew_at_ms = now_ms + self._stage.rules.lease.renew_every_ms
        while True:
            if self._hungry:
                self._take(now_ms)
            for command in core.commands(now_ms):
                self._carry_out(command, now_ms)
            if not self._hungry:
                break
        wake_ms = core.wake_at()
        self._wake_ms = _NEVER_MS if wake_ms is None else wake_ms

    def _carry_out(self, command: commands.Command, now_ms: int) -> None:
        match command:
            case commands.Call():
                self._call(command, now_ms)
            case commands.Forget():
                self._forget(command)
            case commands.Publish():
                self._later(self.now_us + self._commit_us, self._committed, command.batch, now_ms)
            case commands.CancelCall() | commands.BreakerOpened() | commands.BreakerClosed():
                pass  # cut-off calls go on; breakers are not reported
            case commands.Contained():
                raise command.error  # a plan without one of its requests is no plan
            case _:
                assert_never(command)

    def _forget(self, command: commands.Forget) -> None:
        lane = self._hold.pop(command.number).arrival.lane
        if self._backlog.full(lane):
            self._hungry[lane] = None

    def _committed(self, batch: commands.Batch, begun_ms: int) -> None:
        """Apply a final transaction: its outcomes are published, and the retrier gets its parked requests."""
        now_ms = self.now_us // 1_000
        for settlement in batch.settlements:
            cargo, decision = self._hold[settlement.number], settlement.decision
            if isinstance(decision, commands.Park):
                again = Cargo(cargo.number, cargo.arrival, cargo.record)
                again.attempt, again.failures, again.called = decision.attempts + 1, decision.failures, cargo.called
                self._later(max(decision.not_before_ms * 1_000, self.now_us) + self._commit_us, self._write, again)
                continue
            arrival = cargo.arrival
            self._open -= 1
            self.record.ended_ms = now_ms
            self.record.settle(cargo.record, decision, now_ms - arrival.at_ms, late=now_ms > arrival.deadline_ms)
            if self._watcher is not None:
                self._watcher.settled(cargo.number, decision, now_ms)
        self._tell(Committed(batch.serial, begun_ms))

    # ------------------------------------------------------------------ calls

    def _call(self, command: commands.Call, now_ms: int) -> None:
        cargo = self._hold[command.number]
        record, waited_ms = cargo.record, None
        record.calls += 1
        if not cargo.called:
            cargo.called = True
            waited_ms = now_ms - cargo.arrival.at_ms
            record.wait_ms.add(waited_ms)
        if self._watcher is not None:
            self._watcher.called(cargo.arrival.lane, command.charge, waited_ms, now_ms)
        self._later(self.now_us + self._way(), self._arrive, command.call, cargo, self.now_us)

    def _arrive(self, call: CallNumber, cargo: Cargo, sent_us: int) -> None:
        """Let a call arrive at OpenAI."""
        arrival = cargo.arrival
        ask = Ask(
            str(cargo.number),
            arrival.model,
            arrival.asked,
            ENDPOINTS[arrival.endpoint],
            arrival.output_tokens,
            tier=arrival.tier,
        )
        upstream = self._by_model.get(arrival.model, self.upstream)
        visit = upstream.arrive(ask, self.now_us)
        patience_us = sent_us + self._timeout_us
        if visit.ends_us > patience_us:
            self._later(patience_us, self._tell, Answered(call, _TIMED_OUT, 0, None))
            self._later(visit.ends_us, upstream.end, visit)
        elif upstream.just_answers:  # its end has no visible effect before the answer arrives
            self._later(visit.ends_us + self._way(), self._end_call, call, cargo, visit, upstream)
        else:
            self._later(visit.ends_us, self._end, call, cargo, visit, upstream)

    def _end(self, call: CallNumber, cargo: Cargo, visit: Visit, upstream: VirtualUpstream) -> None:
        """End a call at OpenAI, and send its answer on the way back."""
        self._later(self.now_us + self._way(), self._tell, _outcome(call, cargo, upstream.end(visit)))

    def _end_call(self, call: CallNumber, cargo: Cargo, visit: Visit, upstream: VirtualUpstream) -> None:
        """End a call at OpenAI at the instant when its answer arrives here."""
        self._tell(_outcome(call, cargo, upstream.end(visit)))

    def _tell(self, event: Answered | Committed) -> None:
        self.core.on(event, self.now_us // 1_000)
        wake_ms = self.core.wake_at()
        if wake_ms is not None and wake_ms < self._wake_ms:
            self._wake_ms = wake_ms


def _outcome(call: CallNumber, cargo: Cargo, told: VirtualAnswer) -> Answered:
    """Convert the result to the adapter's event."""
    verdict = _verdict(told)
    if told.status == 429:
        cargo.record.throttled += 1
    if verdict.meaning is not OK:
        return Answered(call, verdict, 0, None)
    arrival = cargo.arrival
    usage = TokenUsage(arrival.asked.input_tokens, arrival.output_tokens, mark=arrival.answer_mark)
    return Answered(call, verdict, _OUTCOME_BYTES + 4 * arrival.output_tokens, usage)


def _verdict(told: VirtualAnswer) -> Verdict:
    """Classify the result as the adapter would."""
    if told.status is None:
        return _CUT_OFF
    if told.status == 200:
        if told.levels is not None:
            return success(200, tuple([reading_of(_METRICS[metric], *level) for metric, level in told.levels.items()]))
        return judge(Answer(200, told.headers, None, None, None, ""))
    return judge(answer_of(told.status, told.headers, told.body))
