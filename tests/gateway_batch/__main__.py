"""`python -m tests.gateway_batch [--lines N] [--kills N]`: prints a line; exits 1 if a request is lost or doubled."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from headrace.broker.local.services import LocalServices
from tests.gateway_batch.proof import prove


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.gateway_batch")
    parser.add_argument("--lines", type=int, default=5_000)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--spare-leaders", action="store_true", help="Kill gateways alone.")
    asked = parser.parse_args()
    services = LocalServices()
    services.start()
    try:
        with tempfile.TemporaryDirectory() as directory:
            how = {"lines": asked.lines, "kills": asked.kills, "leaders": not asked.spare_leaders}
            report = asyncio.run(prove(services, Path(directory), **how))
    finally:
        services.stop()
    sys.stdout.write(f"{report}\n")
    return 0 if report.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
