"""Verbs that write, several at once on a real Kafka: each ends with a sentence, and each (id, run) has one outcome."""

import asyncio
import json
from pathlib import Path

from headrace.broker.local.services import LocalServices
from tests.integration.fleet import Fleet, read_all, request
from tests.integration.prefork import PREFORK
from tests.integration.test_replays import Said, begin, bury, end, stage, without_waiting

NAMES = [f"lead-{number}" for number in range(60)]


async def verb(fleet: Fleet, *arguments: str, text: str = "") -> Said:
    child = await PREFORK.run(arguments, fleet.environment(), text.encode())
    out, err = await asyncio.wait_for(child.communicate(), 60)
    assert child.returncode is not None
    return Said(child.returncode, out.decode(), without_waiting(err.decode()))


async def test_replays_at_once_beside_cancels_end_in_one_outcome_each(services: LocalServices, tmp_path: Path) -> None:
    """One of the replays comes through, whichever; a job of another name may have put back the same before it ended."""
    async with stage(services, tmp_path) as (fleet, producer, upstream):
        await bury(producer, fleet, NAMES)
        await fleet.start("dispatcher")
        asked = (["--reason", "exhausted"], ["--reason", "exhausted"], ["--yes"], ["--tenant", "acme", "--limit", "9"])
        replays = [await begin(fleet, *each, "--rate", "100", "--json") for each in asked]
        cancels = [verb(fleet, "cancel", "-", text="\n".join(NAMES[:20])) for _ in range(2)]
        *ended, first, second = await asyncio.gather(*(end(each) for each in replays), *cancels)
        assert {each.code for each in ended} <= {0, 3}
        assert 0 in {each.code for each in ended}
        for each in ended:
            assert each.code == 0 or f"another replay of {fleet.prefix} has begun" in each.err
            assert each.err.count("\n") == (each.code != 0)
        assert [(each.code, each.err, len(each.out.splitlines())) for each in (first, second)] == [(0, "", 20)] * 2
        rest = await end(await begin(fleet, "--reason", "exhausted", "--rate", "500"))
        assert rest.code == 0, rest.err
        ledger = await read_all(fleet, "results", until=len(NAMES))
        assert ledger.counts() == {(name, 1): 1 for name in NAMES}
        given_up = {value["id"] for value in ledger.values if value["status"] == "failed"}
        assert given_up <= set(NAMES[:20])
        assert upstream.books().calls <= len(NAMES)


async def test_submits_and_creations_at_once_are_one_of_each(services: LocalServices, tmp_path: Path) -> None:
    async with stage(services, tmp_path) as (fleet, _, upstream):
        fresh = Fleet(services, f"{fleet.prefix}-fresh", upstream.base_url, tmp_path)
        created = await asyncio.gather(*(verb(fresh, "topics", "create") for _ in range(3)))
        assert [each.code for each in created] == [0, 0, 0], created
        assert sum(each.out.count("\ncreated ") + each.out.startswith("created ") for each in created) == 10
        assert (await verb(fresh, "topics", "check")).code == 0
        await fleet.start("dispatcher")
        lines = "\n".join(json.dumps(request(f"lead-{number}")) for number in range(20))
        sent = await asyncio.gather(*(verb(fleet, "submit", "-", "--lane", "urgent", text=lines) for _ in range(2)))
        assert [(each.code, each.err, len(each.out.splitlines())) for each in sent] == [(0, "", 20)] * 2
        ledger = await read_all(fleet, "results", until=20)
        assert ledger.counts() == {(f"lead-{number}", 0): 1 for number in range(20)}
        assert upstream.books().calls == 20
