"""The table of tested versions in docs/operators.md says what the locks and tests name, of what is always installed.

The rows of Debian's programs are compared in tests/compatibility, beside the tests that run these programs.
"""

import re
import subprocess
import tomllib
from pathlib import Path

from headrace.broker.local.jars import locked_jars
from headrace.broker.local.requirements import valkey_server
from tests.compatibility.kafka_lock import locked_version
from tests.compatibility.test_pinned_services import lower_ends
from tests.compatibility.test_python import OTHERS, OURS
from tests.unit.pages.blocks import ROOT

COMPATIBILITY = ROOT / "tests" / "compatibility"


def row(name: str) -> str:
    """The second cell of the row that begins with `name`."""
    page = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
    lines = page.partition("### Tested versions")[2].partition("\n## ")[0].splitlines()
    (line,) = (line for line in lines if line.startswith(f"| {name} |"))
    return line.split("|")[2].strip()


def version_of(binary: str | Path) -> str:
    """Major and minor, as Redis and Valkey tell them: `… v=7.0.15 …`."""
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    return ".".join(said.partition(" v=")[2].split()[0].split(".")[:2])


def test_python() -> None:
    assert row("Python") == ", ".join(sorted({OURS, *OTHERS}))


def test_these_are_the_pythons_that_the_package_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [line.rpartition(" ")[2] for line in project["classifiers"] if " :: 3." in line]
    assert sorted({OURS, *OTHERS}) == named


def test_the_oldest_packages_of_a_client() -> None:
    assert row("aiokafka, cramjam, pydantic") == ", ".join(lower_ends().values())


def test_kafka() -> None:
    shipped = next(jar.version for jar in locked_jars() if jar.artifact == "kafka_2.13")
    assert row("Kafka") == f"{shipped}, {locked_version()}"


def test_the_servers_that_fork_workers() -> None:
    lock = (COMPATIBILITY / "workers.lock").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^(\w+)==([\d.]+)", lock, re.MULTILINE))
    assert row("gunicorn, Celery") == f"{locked['gunicorn']}, {locked['celery']}"


def test_valkey() -> None:
    assert row("Valkey") == version_of(valkey_server())


def test_the_console_producer() -> None:
    shipped = next(jar.version for jar in locked_jars() if jar.artifact == "kafka_2.13")
    assert row("Java console producer") == shipped
    assert f":kafka-tools:{shipped} " in (COMPATIBILITY / "console_producer.lock").read_text(encoding="utf-8")
