"""`python -m tests.chaos run --faults 200`: faults at random; any other name is a measurement of its own."""

import argparse
import asyncio
import logging
import random
import sys
import tempfile
from pathlib import Path

from tests.chaos.faults import FAULTS
from tests.chaos.run import play


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("what", choices=["run"])
    parser.add_argument("--faults", type=int, default=200, help="how many")
    parser.add_argument("--seed", type=int, default=None, help="which; without it a new one, which is told")
    parser.add_argument("--only", action="append", choices=list(FAULTS), help="this fault; may be given again")
    parser.add_argument("--json", type=Path, default=None, help="where the report goes as JSON")
    parser.add_argument("--logs", type=Path, default=None, help="where the processes' logs go")
    asked = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)  # what our own clients raise is in the report
    seed = random.SystemRandom().randrange(1_000_000) if asked.seed is None else asked.seed
    logs = asked.logs or Path(tempfile.mkdtemp(prefix="headrace-chaos-"))
    logs.mkdir(parents=True, exist_ok=True)
    report = asyncio.run(play(logs, seed, asked.faults, say=_say, names=asked.only or tuple(FAULTS)))
    for line in report.summary():
        _say(line)
    if asked.json is not None:
        asked.json.write_text(report.as_json() + "\n")
    return 0 if report.is_fine else 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
