"""The command: see the package's charter."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.limits.calls import Asked, calls_of
from benchmarks.limits.dispatching import dispatch
from benchmarks.limits.measure import Figures, figures
from benchmarks.limits.over_http import dispatch_over_http, stage
from benchmarks.limits.page import page
from benchmarks.limits.report import Measured, as_json, head, legend, line, missed
from benchmarks.limits.rivals import counting, workers
from benchmarks.limits.rows import ROWS, Row, Way
from benchmarks.limits.surroundings import surroundings


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; 1 if a promise is not kept."""
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
        measured = asyncio.run(_measured([row.virtual() if asked.virtual_only else row for row in rows]))
        told = as_json(measured, surroundings(), time.monotonic() - began_s)
        print(legend())
    if asked.json is not None:
        asked.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    if asked.page is not None:
        asked.page.write_text(page(told), encoding="utf-8")
    misses = missed(told)
    for sentence in misses:
        print(sentence)
    return 1 if misses else 0


async def _measured(rows: Sequence[Row]) -> list[Measured]:
    """All rows: those in virtual time, and all rivals, in a process of their own beside those over HTTP."""
    print(head(), flush=True)
    done: dict[str, Measured] = {}

    def finish(measured: Measured) -> None:
        _say("")
        print(line(measured), flush=True)
        done[measured.row.name] = measured

    virtual = [row for row in rows if row.way is Way.VIRTUAL]
    over_http = [row for row in rows if row.way is Way.HTTP]
    with ProcessPoolExecutor(1) as pool:
        loop = asyncio.get_running_loop()

        async def beside() -> None:
            for row in virtual:
                finish(Measured(row, *await loop.run_in_executor(pool, _in_virtual_time, row)))

        async with asyncio.TaskGroup() as group:
            group.create_task(beside(), name="virtual rows")
            if over_http:
                async with stage() as on:
                    for row in over_http:
                        asked = calls_of(row)
                        record = await dispatch_over_http(on, row, asked, _teller(row, asked))
                        rivals = await loop.run_in_executor(pool, _rivals, row)
                        finish(Measured(row, figures(row, asked, record), *rivals))
    return [done[row.name] for row in rows]


def _teller(row: Row, asked: Sequence[Asked]) -> Callable[[int], None]:
    return lambda admitted: _say(f"{row.name}: {admitted:,} of {len(asked):,} calls admitted")


def _in_virtual_time(row: Row) -> tuple[Figures, Figures, Figures]:
    asked = calls_of(row)
    return figures(row, asked, dispatch(row, asked)), *_rivals(row)


def _rivals(row: Row) -> tuple[Figures, Figures]:
    asked = calls_of(row)
    return figures(row, asked, counting(row, asked)), figures(row, asked, workers(row, asked))


def _say(text: str) -> None:
    """What goes on now, on a line that is written over; a log gets none of it."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
