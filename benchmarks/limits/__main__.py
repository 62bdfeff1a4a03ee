"""The command: see the package's charter."""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import aiohttp

from benchmarks.limits.calls import Asked, calls_of
from benchmarks.limits.measure import figures
from benchmarks.limits.over_http import dispatch_over_http
from benchmarks.limits.page import page
from benchmarks.limits.processes import Stage, stage
from benchmarks.limits.report import Measured, as_json, head, legend, line, missed
from benchmarks.limits.rows import ROWS, Row, Way
from benchmarks.limits.surroundings import surroundings
from benchmarks.limits.virtually import in_virtual_time, rivals_of
from headrace.broker.errors import HeadraceError

_POLITE: Final = 10  # niceness of the process beside the rows over HTTP, which must not disturb them


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limits", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="only this row; may be given several times")
    parser.add_argument("--virtual-only", action="store_true", help="every row in virtual time: seconds, no services")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the page of results there")
    parser.add_argument("--from", type=Path, metavar="FILE", dest="read", help="measure nothing; read these figures")
    asked = parser.parse_args(arguments)
    if asked.read is not None:
        told = json.loads(asked.read.read_text(encoding="utf-8"))
    else:
        unknown = set(asked.only or ()) - {row.name for row in ROWS}
        if unknown:
            parser.error(f"there is no row {', '.join(sorted(unknown))}: there are {', '.join(r.name for r in ROWS)}")
        rows = [row for row in ROWS if not asked.only or row.name in asked.only]
        began_s = time.monotonic()
        measured, failed = asyncio.run(_measured([row.virtual() if asked.virtual_only else row for row in rows]))
        told = as_json(measured, surroundings(), time.monotonic() - began_s)
        print(legend(), *failed, sep="\n")
        if failed:
            return 1
    if asked.json is not None:
        asked.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    if asked.page is not None:
        asked.page.write_text(page(told), encoding="utf-8")
    misses = missed(told)
    for sentence in misses:
        print(sentence)
    return 1 if misses else 0


async def _measured(rows: Sequence[Row]) -> tuple[list[Measured], list[str]]:
    """Measure all rows; return also why some are missing. Virtual rows and all rivals have a process of their own."""
    print(head(), flush=True)
    done: dict[str, Measured] = {}
    failed: list[str] = []

    def finish(measured: Measured) -> None:
        _say("")
        print(line(measured), flush=True)
        done[measured.row.name] = measured

    async def beside(row: Row) -> None:
        finish(Measured(row, *await loop.run_in_executor(pool, in_virtual_time, row)))

    async def over_http(row: Row, on: Stage) -> None:
        asked = calls_of(row)
        try:
            record = await dispatch_over_http(on, row, asked, _teller(row, asked))
        except (HeadraceError, TimeoutError, OSError, aiohttp.ClientError) as error:
            failed.append(f"{row.name} could not be measured: {error!r}")
            return
        rivals = await loop.run_in_executor(pool, rivals_of, row)
        finish(Measured(row, figures(row, asked, record), *rivals))

    async def each(way: Way, measure: Callable[[Row], Awaitable[None]]) -> None:
        for row in rows:
            if row.way is way:
                await measure(row)

    with ProcessPoolExecutor(1, get_context("spawn"), initializer=os.nice, initargs=(_POLITE,)) as pool:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            group.create_task(each(Way.VIRTUAL, beside), name="virtual rows")
            if any(row.way is Way.HTTP for row in rows):
                async with stage() as on:
                    await each(Way.HTTP, lambda row: over_http(row, on))
    return [done[row.name] for row in rows if row.name in done], failed


def _teller(row: Row, asked: Sequence[Asked]) -> Callable[[int], None]:
    return lambda admitted: _say(f"{row.name}: {admitted:,} of {len(asked):,} calls admitted")


def _say(text: str) -> None:
    """Show the present step, on a line that is overwritten; a log gets none of it."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
