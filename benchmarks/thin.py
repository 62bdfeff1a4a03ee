"""What a service pays for the client: installed size and import time, beside those of a whole installation, in one run.

    python -m benchmarks.thin [--before REVISION] [--imports 15]

Builds the wheel, installs it twice into new environments, alone and with the extra `server`, and imports the two names
of a usual service from each in turn, so that a busy machine is as busy for both. `--before` adds an installation of
another revision of this repository, with all that it requires. Needs a package index, and uv, which `make install` has
fetched.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
UV: Final = ROOT / ".tools" / "uv" / "bin" / "uv"
IMPORT: Final = "from headrace import GenerationClient, ResultReader"
_COUNT: Final = f"{IMPORT}\nimport sys\nprint(len(sys.modules))"
_TAKES: Final = "import aiokafka, cramjam\nfrom pydantic import BaseModel, Field"
"""What any client on these packages would load."""


@dataclass(frozen=True, slots=True)
class Installation:
    """One environment; times are of the processor, in milliseconds, one for each import."""

    name: str
    python: Path
    imports_ms: list[float] = field(default_factory=list)
    bare_ms: list[float] = field(default_factory=list)

    @property
    def site(self) -> Path:
        """The folder that packages are installed into."""
        [found] = self.python.parents[1].glob("lib/python*/site-packages")
        return found

    @property
    def size_mb(self) -> float:
        """Size of all files, compiled modules included, without rounding to blocks."""
        return sum(path.stat().st_size for path in self.site.rglob("*") if path.is_file()) / 1e6

    @property
    def packages(self) -> int:
        """Number of distributions."""
        return len([*self.site.glob("*.dist-info")])


def main(argv: Sequence[str] | None = None) -> int:
    """Install, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.thin", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--before", metavar="REVISION", help="install this revision too, with all that it requires")
    parser.add_argument("--imports", type=int, default=15, help="imports from each installation (default: 15)")
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        wheel = built(ROOT, folder / "wheel")
        found = [installed("client", str(wheel), folder), installed("with [server]", f"{wheel}[server]", folder)]
        if asked.before:
            found.append(installed(asked.before, str(built(checkout(asked.before, folder), folder / "old")), folder))
        measure(found, asked.imports)
        report(found)
    return 0


def run(*command: str, cwd: Path = ROOT) -> str:
    """Return what a command printed; its errors go to the terminal."""
    return subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603 — our own


def checkout(revision: str, folder: Path) -> Path:
    """Unpack a revision: an archive keeps the links that the build needs."""
    archive, tree = folder / "before.tar", folder / "before"
    run("git", "archive", "--output", str(archive), revision)
    with tarfile.open(archive) as packed:
        packed.extractall(tree, filter="data")
    return tree


def built(source: Path, into: Path) -> Path:
    """Build the wheel of a tree."""
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into), cwd=source)
    [wheel] = into.iterdir()
    return wheel


def installed(name: str, requirement: str, folder: Path) -> Installation:
    """Install into a new environment, compiled as pip does."""
    home = folder / f"environment-{name.rsplit(maxsplit=1)[-1].strip('[]')}"
    quiet = (str(UV), "--quiet", "--no-config")
    run(*quiet, "venv", "--no-project", "--python", sys.executable, str(home))
    python = home / "bin" / "python"
    run(*quiet, "pip", "install", "--compile-bytecode", "--python", str(python), requirement)
    return Installation(name, python)


def measure(installations: Sequence[Installation], times: int) -> None:
    """Import from each in turn, once unmeasured."""
    for number in range(times + 1):
        for each in installations:
            spent = cpu_ms(each.python, IMPORT), cpu_ms(each.python, _TAKES)
            if number:
                each.imports_ms.append(spent[0])
                each.bare_ms.append(spent[1])


def cpu_ms(python: Path, program: str) -> float:
    """Processor time of one process, its start included."""
    before = os.times()
    run(str(python), "-c", program, cwd=Path("/"))
    after = os.times()
    return 1_000 * (sum(after[2:4]) - sum(before[2:4]))


def report(installations: Sequence[Installation]) -> None:
    """Print a row for each, and the ratio of each to the first."""
    first = installations[0]
    added = {path.name for path in first.site.iterdir()} & {"broker", "consumers", "headrace", "schemas"}
    print(f"names for imports that the wheel adds: {', '.join(sorted(added))}")
    print(f"{'installation':<16}{'packages':>9}{'size MB':>9}{'ratio':>7}{'modules':>9}{'import ms':>11}{'ratio':>7}")
    for each in installations:
        modules = run(str(each.python), "-c", _COUNT, cwd=Path("/"))
        spent, of_first = statistics.median(each.imports_ms), statistics.median(first.imports_ms)
        print(
            f"{each.name:<16}{each.packages:>9}{each.size_mb:>9.1f}{each.size_mb / first.size_mb:>7.2f}"
            f"{modules.strip():>9}{spent:>11.0f}{spent / of_first:>7.2f}"
        )
    print(f"aiokafka, cramjam and pydantic alone: {statistics.median(first.bare_ms):.0f} ms")


if __name__ == "__main__":
    sys.exit(main())
