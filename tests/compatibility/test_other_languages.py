"""The examples in Node and Go: a Kafka client and the schemas, nothing of ours, against a real dispatcher."""

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.broker.local.services import LocalServices
from tests.compatibility.asking import answered, dispatching
from tests.compatibility.machine import ROOT, TOOLS, node_package, run, unavailable
from tests.integration.fleet import Fleet

EXAMPLES = ROOT / "examples"


def node() -> dict[str, list[str]]:
    """The commands of the Node examples, with what their lock file says installed beside a copy of them."""
    home = node_package(EXAMPLES / "node")
    return {verb: ["node", str(home / f"{verb}.mjs")] for verb in ("producer", "reader")}


def go() -> dict[str, list[str]]:
    """The Go examples, vetted and built."""
    if shutil.which("go") is None:
        unavailable("go is missing: install Go 1.26 or newer.")
    home = TOOLS / "go"
    home.mkdir(parents=True, exist_ok=True)
    run(EXAMPLES / "go", "go", "vet", "-mod=readonly", "./...")
    run(EXAMPLES / "go", "go", "build", "-mod=readonly", "-o", f"{home}{os.sep}", "./producer", "./reader")
    return {verb: [str(home / verb)] for verb in ("producer", "reader")}


async def said(fleet: Fleet, command: list[str]) -> str:
    environment = fleet.environment() | {"HEADRACE_SCHEMAS": str(ROOT / "schemas" / "json")}
    child = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        out, err = await child.communicate()
    assert child.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.parametrize(("language", "commands"), [("node", node), ("go", go)])
async def test_a_producer_and_a_reader_without_python_submit_and_receive(
    services: LocalServices, tmp_path: Path, language: str, commands: Callable[[], dict[str, list[str]]]
) -> None:
    made, ids = commands(), [f"{language}-{number}" for number in range(5)]
    async with dispatching(services, f"from-{language}", tmp_path) as fleet:
        await fleet.start()
        assert "submitted" in await said(fleet, [*made["producer"], *flags(language, lane="urgent"), *ids])
        await answered(fleet, set(ids))
        lines = await said(fleet, [*made["reader"], *flags(language, group=f"{language}-mailer", count="5")])
        got = [json.loads(line) for line in lines.splitlines()]
        assert sorted(each["id"] for each in got) == ids
        assert all(each["status"] == "completed" and each["text"] for each in got)
        later = f"{language}-later"
        await said(fleet, [*made["producer"], *flags(language, lane="bulk"), later, ids[0]])
        found = await said(fleet, [*made["reader"], *flags(language, group=f"{language}-mailer", count="1")])
        assert json.loads(found)["id"] == later, "a group goes on where it was, and a known id has no second outcome"


def flags(language: str, **options: str) -> list[str]:
    dashes = {"node": "--", "go": "-"}[language]
    return [part for name, value in options.items() for part in (f"{dashes}{name}", value)]
