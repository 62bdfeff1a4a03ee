"""The command: see the package's charter."""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from benchmarks.lanes.findings import Finding
from benchmarks.lanes.page import added, as_json, line, missed, page
from benchmarks.lanes.rows import ROWS, Asked, Place, Row
from benchmarks.limits.surroundings import surroundings


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return 1 if a promise is not kept."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.read is not None:
        told = json.loads(asked.read.read_text(encoding="utf-8"))
    else:
        unknown = set(asked.only or ()) - {row.name for row in ROWS}
        if unknown:
            parser.error(f"there is no row {', '.join(sorted(unknown))}: there are {', '.join(r.name for r in ROWS)}")
        left_out = {row.name for row in ROWS if row.place is Place.REAL} if asked.virtual_only else set(asked.without)
        rows = [row for row in ROWS if (not asked.only or row.name in asked.only) and row.name not in left_out]
        began_s, on = time.monotonic(), surroundings()
        found = {finding.name: finding for finding in _measured(rows, Asked(asked.seeds, asked.seconds, asked.records))}
        told = as_json([found[row.name] for row in rows], on, time.monotonic() - began_s)
    if asked.add_to is not None:
        told = added(told, json.loads(asked.add_to.read_text(encoding="utf-8")))
    if asked.json is not None:
        asked.json.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if asked.page is not None:
        asked.page.write_text(page(told), encoding="utf-8")
    misses = missed(told)
    for sentence in misses:
        print(sentence)
    return 1 if misses else 0


def _parser() -> argparse.ArgumentParser:
    usual = Asked()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lanes", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="only this row; may be given several times")
    parser.add_argument("--without", action="append", metavar="NAME", default=[], help="all rows but this one")
    parser.add_argument("--virtual-only", action="store_true", help="without the real rows: no services")
    parser.add_argument("--seeds", type=int, default=usual.seeds, help="runs of each row that is played over many")
    parser.add_argument("--seconds", type=int, default=usual.seconds, help="of real traffic")
    parser.add_argument("--records", type=int, default=usual.records, help="in Kafka, for the row `backlog`")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the page of results there")
    parser.add_argument("--from", type=Path, metavar="FILE", dest="read", help="measure nothing; read these figures")
    parser.add_argument("--add-to", type=Path, metavar="FILE", help="put the rows among these figures of another run")
    return parser


def _measured(rows: Sequence[Row], asked: Asked) -> Iterator[Finding]:
    """Measure the rows that only compute in parallel, then each of the others with the machine to itself."""
    beside = [row for row in rows if row.place is Place.BESIDE]
    with ProcessPoolExecutor(os.cpu_count() or 1, get_context("spawn")) as pool:
        for done in as_completed([pool.submit(row.measure, asked) for row in beside]):
            yield _told(done.result())
    for place in (Place.ALONE, Place.REAL):
        for row in rows:
            if row.place is place:
                yield _told(row.measure(asked))


def _told(finding: Finding) -> Finding:
    print(line(finding), flush=True)
    return finding


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
