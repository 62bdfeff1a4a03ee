"""README.md, "The same without the demo": its three terminals, line by line, against the pair that this run has."""

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from headrace.broker.local.services import LocalServices
from tests.unit.pages.blocks import ROOT, of_kind

READY_S = 60.0
QUICK = "--port 0 --latency 0-0.1 --tokens-per-minute 1000000"
"""Said behind what the page says, and so instead of it: sixty leads would take a minute and more of its quota."""


def terminals() -> list[str]:
    """What is typed into each, in the order of the page."""
    [block] = [each for each in of_kind("sh") if each.page == "README.md" and "headrace upstream" in each.text]
    return block.text.splitlines()


@asynccontextmanager
async def terminal(typed: str, environ: Mapping[str, str], log: Path) -> AsyncIterator[Process]:
    """A shell at the project's root in which that was typed; what it says on standard error goes to `log`."""
    with log.open("wb") as errors:
        shell = await asyncio.create_subprocess_exec(
            *("bash", "-c", typed), env=environ, cwd=ROOT, stdout=PIPE, stderr=errors, start_new_session=True
        )
    try:
        yield shell
    finally:
        if shell.returncode is None:
            os.killpg(shell.pid, signal.SIGTERM)
            await shell.wait()


async def said(log: Path, words: str) -> None:
    """Wait until the words stand in the log."""
    async with asyncio.timeout(READY_S):
        while words not in log.read_text(encoding="utf-8"):  # a file of another process
            await asyncio.sleep(0.05)


async def test_three_terminals_of_the_readme_end_in_an_outcome_for_each_lead(
    services: LocalServices, tmp_path: Path
) -> None:
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HEADRACE_KAFKA__BOOTSTRAP_SERVERS": services.endpoints.bootstrap_servers,
        "HEADRACE_REDIS__URL": services.endpoints.redis_url,
        "HEADRACE_KAFKA__TOPIC_PREFIX": f"readme-{uuid4().hex[:8]}",
        "HEADRACE_DISPATCHER__HTTP_PORT": "0",  # the page's own may be taken on a developer's machine
    }
    upstream, dispatcher, submit = terminals()
    async with terminal(f"exec {upstream} {QUICK}", environ, tmp_path / "upstream") as first:
        assert first.stdout is not None
        async with asyncio.timeout(READY_S):
            printed = (await first.stdout.readuntil(b"OPENAI_API_KEY=anything")).decode()
        exported = dict(re.findall(r"(OPENAI_\w+)=(\S+)", printed.rpartition("export ")[2]))
        assert set(exported) == {"OPENAI_BASE_URL", "OPENAI_API_KEY"}
        async with terminal(dispatcher, environ | exported, tmp_path / "dispatcher"):
            await said(tmp_path / "dispatcher", '"event": "leading"')
            async with terminal(submit, environ, tmp_path / "submit") as third:
                async with asyncio.timeout(READY_S):
                    answered, _ = await third.communicate()
    outcomes = [json.loads(line) for line in answered.splitlines()]
    assert third.returncode == 0, (tmp_path / "submit").read_text(encoding="utf-8")
    leads = (ROOT / "examples" / "leads.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(outcomes) == len([lead for lead in leads if lead.strip()])
    assert {outcome["status"] for outcome in outcomes} == {"completed"}
