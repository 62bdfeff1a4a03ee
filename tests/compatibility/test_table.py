"""The table in docs/operators.md says what the tests here and elsewhere have tried, and nothing else."""

import re
import subprocess
from pathlib import Path

import pytest

from headrace.broker.local.jars import locked_jars
from headrace.broker.local.requirements import valkey_server
from tests.compatibility.kafka_lock import locked_version
from tests.compatibility.machine import ROOT, program
from tests.compatibility.test_pinned_services import lower_ends
from tests.compatibility.test_python import OTHERS, OURS


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


def test_the_oldest_packages_of_a_client() -> None:
    assert row("aiokafka, cramjam, pydantic") == ", ".join(lower_ends().values())


def test_kafka() -> None:
    shipped = next(jar.version for jar in locked_jars() if jar.artifact == "kafka_2.13")
    assert row("Kafka") == f"{shipped}, {locked_version()}"


def test_the_servers_that_fork_workers() -> None:
    lock = (ROOT / "tests" / "compatibility" / "workers.lock").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^(\w+)==([\d.]+)", lock, re.MULTILINE))
    assert row("gunicorn, Celery") == f"{locked['gunicorn']}, {locked['celery']}"


@pytest.mark.parametrize("server", ["Valkey", "redis-server"])
def test_the_server_of_the_lease(server: str) -> None:
    binary = valkey_server() if server == "Valkey" else program("redis-server")
    assert row(server) == version_of(binary)


def test_kcat() -> None:
    said = subprocess.run([program("kcat"), "-V"], capture_output=True, text=True, check=True).stdout
    assert row("kcat") == said.partition("Version ")[2].split()[0]


def test_the_console_producer() -> None:
    shipped = next(jar.version for jar in locked_jars() if jar.artifact == "kafka_2.13")
    assert row("Java console producer") == shipped
    assert f":kafka-tools:{shipped} " in (Path(__file__).parent / "console_producer.lock").read_text(encoding="utf-8")
