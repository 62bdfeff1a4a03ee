"""What a replay says of itself, to a person and to a machine."""

from datetime import timedelta

import pytest

from headrace.broker.cli.dead_letters.account import as_object, ended, interrupted, receipt_object, summary
from headrace.broker.cli.dead_letters.bar import Bar
from headrace.consumers.replays.job import ReplayRequest
from headrace.consumers.replays.replay import ReplayReceipt
from headrace.consumers.replays.verdicts import Skip
from headrace.schemas.record import Record
from tests.unit.consumers.replays.rig import LETTERS, Run, World
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


def mixed() -> World:
    world = World()
    for number in range(1_200):
        world.bury(f"a-{number}", ago_s=5_000 - number)
    world.bury("b", reason="id_conflict")
    world.bury("c", reason="crashed")
    world.bury("d", reason="crashed")
    world.kafka.append(LETTERS, Record(None, b"x"), partition=0)
    return world


async def ran(world: World, *, dry: bool = False, asked: ReplayRequest | None = None, limit: int | None = None) -> Run:
    run = world.replay(asked or ReplayRequest(), per_s=1_000, limit=limit)
    await run(dry=dry)
    return run


@pytest.mark.slow
async def test_a_person_is_told_how_many_which_not_and_why_and_what_now() -> None:
    said = summary((await ran(mixed())).work, dry=False)
    assert said == (
        "Put back 1,200 dead letters. Skipped: 2 crashed (it ended dispatchers: only --reason crashed puts it "
        "back); 1 id_conflict (its id belongs to another request: --new-id puts it back under a new id). 1 record "
        "in the topic is not a dead letter. Their outcomes will carry the next run number: `headrace results --follow` "
        "shows them. The same command will find only newer dead letters."
    )


@pytest.mark.slow
async def test_a_dry_run_says_that_nothing_was_written() -> None:
    said = summary((await ran(mixed(), dry=True)).work, dry=True)
    assert said.startswith("Would put back 1,200 dead letters. Skipped: 2 crashed ")
    assert said.endswith("Nothing was written: run it without --dry-run to put them back.")


@pytest.mark.slow
async def test_a_limit_says_how_many_are_left() -> None:
    said = summary((await ran(mixed(), limit=50)).work, dry=False)
    assert said.endswith("About 1,150 are left: the same command continues with them and puts nothing back twice.")


async def test_where_there_is_nothing_it_says_so() -> None:
    said = summary((await ran(World())).work, dry=False)
    assert said == "Put back 0 dead letters. Nothing is left: the same command will find only newer dead letters."


@pytest.mark.slow
async def test_what_a_span_meant_and_that_it_is_an_old_one_is_said() -> None:
    world = mixed()
    asked = ReplayRequest(since=timedelta(hours=2), until=timedelta(minutes=1))
    first = summary((await ran(world, asked=asked, limit=10)).work, dry=False)
    meant = "that failed since 2026-12-01T07:00:00.000Z and before 2026-12-01T08:59:00.000Z"
    assert first.startswith(f"Put back 10 dead letters {meant}. ")
    second = summary((await ran(world, asked=asked)).work, dry=False)
    assert second.startswith(
        f"Put back 1,190 dead letters {meant}, resuming the replay begun at 2026-12-01T09:00:00.000Z."
    )


@pytest.mark.slow
async def test_whoever_was_interrupted_or_ended_learns_how_to_go_on() -> None:
    work = (await ran(mixed(), limit=10)).work
    assert "Interrupted; its progress is stored: the same command continues there" in interrupted(work, dry=False)
    assert "another replay of t has begun, or Kafka was unavailable" in ended(work, "t")
    assert "the same command continues where this one stopped and puts nothing back twice." in ended(work, "t")
    assert interrupted(work, dry=True) == "Interrupted: nothing was written."
    assert interrupted(World().replay().work, dry=False) == "Interrupted: nothing was written."
    assert ended(World().replay().work, "t").startswith("Put back 0 dead letters. ")  # ended before it was open


@pytest.mark.slow
async def test_a_machine_gets_a_receipt_each_and_a_summary() -> None:
    world = World()
    world.bury("a", partition=2)
    run = await ran(world, asked=ReplayRequest(since=timedelta(hours=1)))
    [receipt] = run.seen.receipts
    assert receipt_object(receipt) | {"deadline": ""} == {
        "id": "a",
        "run": 1,
        "lane": "bulk",
        "place": "t.dead-letters/2/0",
        "reason": "exhausted",
        "deadline": "",
    }
    assert as_object(run.work, dry=False) == {
        "summary": {
            "job": run.work.group,
            "dry_run": False,
            "put_back": 1,
            "skipped": {},
            "unreadable_records": 0,
            "left": 0,
            "done": True,
            "since": "2026-12-01T08:00:00.000Z",
            "until": None,
        }
    }
    limited = as_object((await ran(mixed(), limit=50)).work, dry=True)["summary"]
    assert (limited["left"], limited["done"], limited["since"], limited["dry_run"]) == (1_150, False, None, True)


async def test_every_reason_to_skip_has_its_words() -> None:
    work = (await ran(World())).work
    work.tally.skipped.update(Skip)
    assert all(f"1 {skip} (" in summary(work, dry=False) for skip in Skip)


@pytest.mark.slow
async def test_a_bar_hands_the_receipts_on_and_is_silent_where_nobody_watches(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown: list[ReplayReceipt] = []
    world = mixed()
    run = await ran(world)
    for bar in (Bar(shown.extend, quiet=True), Bar(None, quiet=False)):
        with bar:
            bar.looks(1, 2)
            bar.puts_back(run.seen.receipts[:3], run.work.tally)
    assert shown == run.seen.receipts[:3]
    assert capsys.readouterr() == ("", "")
