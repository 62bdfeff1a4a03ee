"""`submit --wait` of an id that is another request's: a sentence, no outcome of that one, and exit code 1."""

import json

import pytest
from rich.progress import Progress

from headrace.broker.cli.screen import screen
from headrace.broker.cli.sending import Sending
from headrace.broker.cli.submit import Showing, SubmitOptions, send
from headrace.broker.client import GenerationClient, each, submission
from headrace.broker.testing.memory_broker import MemoryBroker
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "acme's"}]}


async def test_a_line_whose_id_is_anothers_is_told_so_and_the_others_are_answered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    mine = [
        submission({"id": "lead-1", "body": BODY, "tenant": "zenith"}, lane="urgent"),
        submission({"id": "lead-2", "body": BODY, "tenant": "zenith"}, lane="urgent"),
        submission({"id": "lead-2", "body": BODY, "tenant": "zenith"}, lane="urgent"),
    ]
    async with MemoryBroker() as broker, GenerationClient(connection=broker.connection) as generations:
        await generations.generate(BODY, id="lead-1", tenant="acme", lane="urgent")
        sending, bar = Sending("leads.jsonl", len(mine)), Progress(console=screen(err=True), disable=True)
        bar.add_task("answered")
        manner = SubmitOptions(wait=True, wait_s=None, timeout_s=30, as_lines=True)
        await send(generations, each(sending.read(iter(mine))), Showing(sending, bar, manner))
    told = capsys.readouterr()
    shown = [json.loads(line) for line in told.out.splitlines() if line.startswith("{")]
    assert [each["id"] for each in shown] == ["lead-2", "lead-2"], "one outcome for each line"
    assert told.err.startswith("The id lead-1 belongs to a request with another ")
    assert told.err.endswith(": choose a new id.\n")
    assert not sending.is_all_well
    assert next(sending.ended()).startswith("3 requests: 2 answered, 1 failed (id_conflict).")
