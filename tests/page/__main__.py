"""The page in Chromium: under load, at a failover, without OpenAI, with empty lanes, and without news.

    python -m tests.page [--pictures FOLDER] [--load-s SECONDS] [--only SCENE]

Each scene is photographed, dark and light, wide and narrow; the console has no error, axe finds nothing serious, and
the page says what it must. At the end: 500 hostile documents, and what 50 open pages cost the leader. Exit code 1: one
of these does not hold.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from headrace.broker.local.services import LocalServices
from tests.page.tools import CannotPrepareError, prepare


def main() -> int:
    """Prepare the machine, play the scenes, say what was seen; 2 if this machine cannot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, help="folder for the pictures; default: a temporary one")
    parser.add_argument("--load-s", type=float, default=90, help="seconds of load before the first picture")
    parser.add_argument("--cost-s", type=float, default=60, help="seconds with 50 pages, and without")
    parser.add_argument("--only", action="append", help="play this scene alone; may be repeated")
    parser.add_argument("--documents", type=int, default=500, help="hostile documents")
    asked = parser.parse_args()
    try:
        browser = prepare()
    except CannotPrepareError as error:
        print(f"make page: {error}", file=sys.stderr)
        return 2
    return asyncio.run(_play(asked, browser))


async def _play(asked: argparse.Namespace, browser: str) -> int:
    from tests.page.scenes import SCENES, Stage  # noqa: PLC0415  # only now can playwright be imported

    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="headrace-page-") as folder:
        pictures = asked.pictures or Path(folder)
        pictures.mkdir(parents=True, exist_ok=True)
        async with LocalServices() as services, Stage.opened(services, Path(folder), pictures, browser, asked) as stage:
            for name, scene in SCENES.items():
                if asked.only and name not in asked.only:
                    continue
                try:
                    await scene(stage)
                    print(f"{name}: as it should be", flush=True)
                except AssertionError as error:
                    failed.append(name)
                    print(f"{name}: FAILED: {error}", flush=True)
    print("the page: " + (f"{', '.join(failed)} failed" if failed else "all as it should be"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
