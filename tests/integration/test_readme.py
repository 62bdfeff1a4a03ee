"""The three terminals of README.md and docs/start.md, line by line, against the pair that this run has.

Then the lines of docs/start.md that follow them, in the third terminal.
"""

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

from headrace.broker.local.services import LocalServices
from tests.unit.pages.blocks import ROOT, of_kind

READY_S = 60.0
QUICK = "--port 0 --latency 0-0.1 --tokens-per-minute 1000000"
"""Said behind what the page says, and so instead of it: sixty leads would take a minute and more of its quota."""


def lines_of(page: str, words: str) -> list[str]:
    """The lines of the block of that page which has these words."""
    [block] = [each for each in of_kind("sh") if each.page == page and words in each.text]
    return block.text.splitlines()


TERMINALS = lines_of("README.md", "headrace upstream")
"""What is typed into each, in the order of the page."""
AFTERWARDS = lines_of("docs/start.md", "producer.py")


def test_the_start_page_has_the_terminals_of_the_readme() -> None:
    assert lines_of("docs/start.md", "headrace upstream") == TERMINALS


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


async def ended(typed: str, environ: Mapping[str, str], log: Path) -> tuple[int, str]:
    """Exit code and standard output of a line that ends by itself."""
    async with terminal(typed, environ, log) as shell, asyncio.timeout(READY_S):
        printed, _ = await shell.communicate()
    assert shell.returncode is not None
    return shell.returncode, printed.decode()


async def test_three_terminals_of_the_readme_end_in_an_outcome_for_each_lead(
    services: LocalServices, tmp_path: Path
) -> None:
    """The only one of this run with the topics' default prefix, which the example of a producer has."""
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HEADRACE_KAFKA__BOOTSTRAP_SERVERS": services.endpoints.bootstrap_servers,
        "HEADRACE_REDIS__URL": services.endpoints.redis_url,
        "HEADRACE_DISPATCHER__HTTP_PORT": "0",  # the page's own may be taken on a developer's machine
    }
    upstream, dispatcher, submit = TERMINALS
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
            printed_afterwards = [await ended(line, environ, tmp_path / "afterwards") for line in AFTERWARDS]
    outcomes = [json.loads(line) for line in answered.splitlines()]
    assert third.returncode == 0, (tmp_path / "submit").read_text(encoding="utf-8")
    leads = (ROOT / "examples" / "leads.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(outcomes) == len([lead for lead in leads if lead.strip()])
    assert {outcome["status"] for outcome in outcomes} == {"completed"}
    (_, of_producer), (results_code, of_results), (status_code, of_status) = printed_afterwards
    assert of_producer.startswith("submitted: "), (tmp_path / "afterwards").read_text(encoding="utf-8")
    assert results_code == 0
    assert "lead-9001-email" in of_results
    assert status_code == 0, of_status
    assert "No standby is ready" in of_status
