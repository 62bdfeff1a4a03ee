"""The command: see the package's charter."""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.limiters import beside
from benchmarks.limiters import pairs as paired
from benchmarks.limiters.paced import Pace, best_pace
from benchmarks.limiters.play import Played, play
from benchmarks.limiters.report import HEAD, LEGEND, LOW, Promise, as_json, beside_pace, line, promises, worst
from benchmarks.limits.surroundings import surroundings

PROGRESS_EVERY = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, print, write; return 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limiters", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, metavar="N", help="how many servers to draw (500)")
    parser.add_argument("--from", type=int, default=0, metavar="SEED", dest="first", help="the first seed (0)")
    parser.add_argument("--only", type=int, action="append", metavar="SEED", help="only this server")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (one a core)")
    parser.add_argument(
        "--http", type=int, default=0, metavar="N", help="N of them over real HTTP as well, and no others"
    )
    parser.add_argument(
        "--span", type=int, default=beside.SPAN_S, metavar="S", help="seconds of a play over HTTP (300)"
    )
    parser.add_argument(
        "--together", type=int, default=beside.TOGETHER, metavar="N", help="plays over HTTP at once (4)"
    )
    parser.add_argument("--all", action="store_true", help="print every seed, not only the ten worst")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    asked = parser.parse_args(arguments)
    if asked.http:
        return _beside(asked)
    seeds = asked.only or range(asked.first, asked.first + asked.seeds)
    began_s = time.monotonic()
    with ProcessPoolExecutor(min(asked.jobs, len(seeds)), get_context("spawn")) as pool:
        played = []
        for each in pool.map(play, seeds):
            played.append(each)
            _tell(played, len(seeds), began_s, each_one=asked.all or bool(asked.only))
        low = [each.seed for each in played if each.share < LOW]
        paces = dict(zip(low, pool.map(best_pace, low), strict=True))
    _sum_up(played, paces, everything=asked.all or bool(asked.only))
    _write(asked.json, began_s, as_json(played, paces))
    return 0 if all(promise.kept for promise in promises(played)) else 1


def _beside(asked: argparse.Namespace) -> int:
    """Play over HTTP and in virtual time; return 1 if the shares differ or a play is missing."""
    began_s = time.monotonic()
    seeds = asked.only or beside.chosen(asked.first, asked.http, asked.span)
    pairs, failed = asyncio.run(beside.measure(seeds, asked.span, asked.together))
    promise = paired.agreement(pairs)
    print(paired.LEGEND, *failed, _verdict(promise), sep="\n")
    _write(asked.json, began_s, paired.pairs_as_json(pairs) | {"span_s": asked.span, "failed": failed})
    return 0 if promise.kept and not failed else 1


def _write(file: Path | None, began_s: float, told: dict[str, Any]) -> None:
    if file is not None:
        whole = {**surroundings(), "took_s": round(time.monotonic() - began_s), **told}
        file.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


def _tell(played: Sequence[Played], of: int, began_s: float, *, each_one: bool) -> None:
    if each_one:
        print(HEAD + "\n" + line(played[-1]) if len(played) == 1 else line(played[-1]), flush=True)
    elif len(played) % PROGRESS_EVERY == 0:
        print(f"{len(played)} of {of} servers, {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)


def _sum_up(played: Sequence[Played], paces: Mapping[int, Pace], *, everything: bool) -> None:
    if not everything:
        print(HEAD, *(line(each, paces.get(each.seed)) for each in worst(played)), sep="\n")
    print(LEGEND)
    if paces:
        print(beside_pace(played, paces))
    for promise in promises(played):
        print(_verdict(promise))


def _verdict(promise: Promise) -> str:
    return f"{'kept' if promise.kept else 'MISS'}  {promise.measured:>9}  {promise.sentence}"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
