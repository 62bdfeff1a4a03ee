"""Time for a plan of a million requests, and the part of it that is spent outside the core.

Three lanes, a hundred requests a second on a quota of which nine tenths are used, 250 calls in flight. Prints seconds
of processor time, one process on one core; with `--split` also microseconds a request inside and outside the core. With
`--cores N` it is played as `headrace simulate` does, in parts, N at once, and the seconds are those of a clock.

    python -m benchmarks.planner_speed [--requests 1000000] [--split] [--profile] [--cores N]
"""

import argparse
import cProfile
import gc
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from headrace.broker.cli.simulate.side_by_side import play_all
from headrace.broker.planner.engine import VirtualRun
from headrace.broker.planner.parts import parts_of, together
from headrace.broker.planner.plan import Plan, quotas_for
from headrace.broker.planner.stage import Stage
from headrace.broker.planner.timeline import Timeline
from headrace.broker.planner.workload import Span, Stream, Workload
from headrace.broker.settings.whole import Settings
from headrace.broker.simulator.virtual import VirtualUpstream

PER_HOUR = 360_000
SHARES = {"urgent": 0.1, "standard": 0.3, "bulk": 0.6}
TOKENS = Span(300, 700)
TOKENS_PER_MINUTE = 3_360_000
REQUESTS_PER_MINUTE = 60_000


def plan_of(requests: int) -> Plan:
    """Return the plan that is timed."""
    streams = tuple(
        Stream(lane, lane, per_hour=PER_HOUR * share, input_tokens=TOKENS) for lane, share in SHARES.items()
    )
    settings, workload = Settings(), Workload(streams, None)
    quotas = quotas_for(
        settings, workload, tokens_per_minute=TOKENS_PER_MINUTE, requests_per_minute=REQUESTS_PER_MINUTE
    )
    return Plan(settings, workload, quotas, requests_max=requests)


def run_of(plan: Plan) -> VirtualRun:
    """Return the run that a plan of one limit makes."""
    [quota] = plan.quotas
    played = replace(
        plan.upstream, tokens_per_minute=quota.tokens_per_minute, requests_per_minute=quota.requests_per_minute
    )
    upstream = VirtualUpstream(played, counts_ids=False)
    return VirtualRun(Stage.of(plan.settings), upstream, plan.arrivals(), plan.times, watcher=Timeline(60_000))


class Stopwatch:
    """Time spent in the functions that were given to it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, timed."""
        clock = time.process_time

        def timed(*args: Any) -> Any:
            begun_s = clock()
            answer = function(*args)
            self.seconds += clock() - begun_s
            return answer

        return timed


def side_by_side(plan: Plan, cores: int) -> None:
    """Play it as the verb does, and print how long that took."""
    begun_s = time.perf_counter()
    parts = parts_of(plan)
    outlook = together(plan, play_all([(part, 1.0) for part in parts], lambda _: None, cores))
    seconds, settled = time.perf_counter() - begun_s, outlook.record.settled
    print(f"{settled:,} requests in {len(parts)} parts on {cores} cores in {seconds:.1f} s by the clock")
    print(f"{outlook.limits[0].used:.1%} of the quota used, {outlook.throttled} 429s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--split", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--cores", type=int)
    asked = parser.parse_args()
    if asked.cores is not None:
        side_by_side(plan_of(asked.requests), asked.cores)
        return
    run, inside = run_of(plan_of(asked.requests)), Stopwatch()
    if asked.profile:
        cProfile.runctx("run.finish()", {}, {"run": run}, sort="tottime")
        return
    if asked.split:
        for verb in ("on", "commands", "wake_at", "room"):
            setattr(run.core, verb, inside.around(getattr(run.core, verb)))
    gc.set_threshold(100_000, 50, 1_000)  # as the verb does
    begun_s = time.process_time()
    record = run.finish()
    seconds = time.process_time() - begun_s
    books = run.upstream.books(run.now_us)
    print(f"{record.settled:,} requests in {seconds:.1f} s: {seconds / record.settled * 1e6:.1f} us each")
    if asked.split:
        print(f"core {inside.seconds / record.settled * 1e6:.1f} us, the rest and looking at the clock the others")
    print(f"{books.share or 0:.1%} of the quota used, {books.throttled} 429s, {run.now_ms / 1_000:,.0f} s played")


if __name__ == "__main__":
    main()
