"""Whose figures a page shows, how old they are, and that it says what `headrace status` says."""

import asyncio
import json
from typing import Any

from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.clock import WallClock
from headrace.broker.errors import LeaseUnavailable
from headrace.broker.observability.panels import PANELS
from headrace.broker.service.containment import Containment
from headrace.broker.service.health import Health
from headrace.broker.service.page.documents import Documents
from headrace.broker.service.status.findings import findings
from headrace.broker.service.status.reading import REPORT_CHARS_MAX
from headrace.broker.status_ports import Reported
from tests.unit.service.rig import Process, World, led, settings_of, until, warmed
from tests.unit.service.status.specimens import look, said
from tests.virtual_time import VIRTUAL_TIME


class Board:
    """What is in Redis; None: it does not answer."""

    def __init__(self, status: str | None, **fields: Any) -> None:
        found: dict[str, Any] = {"age_s": None if status is None else 0.4, "holder": "token-a", "standbys": 1}
        self.left: Reported | None = Reported(lease_key="headrace:c:g", status=status, **(found | fields))

    async def dispatcher(self) -> Reported:
        if self.left is None:
            raise LeaseUnavailable("Redis does not answer.")
        return self.left

    async def retrier(self) -> Reported:
        return Reported("headrace:c:r", json.dumps({"role": "leader", "ready": {}}), 0.2, "r", 0)

    async def close(self) -> None:
        """Nothing is open."""


def documents(role: str, own: dict[str, Any], board: Board | None) -> Documents:
    clock = WallClock(lambda: 0.0)
    return Documents(settings_of(), Health(role=role), lambda: own, board, Containment(Meter(), clock))


async def test_a_leader_shows_itself_and_the_standbys_that_redis_knows() -> None:
    own = said(host="me")
    told = await documents("leader", own, Board(json.dumps(said(host="before me")), standbys=2)).document()
    assert (told["host"], told["page"]["source"], told["page"]["standbys"], told["page"]["age_s"]) == (
        "me",
        "own",
        2,
        0,
    )


async def test_a_standby_shows_the_leaders_status_with_its_age_and_says_which_process_shows_it() -> None:
    own = said(host="me", role="standby")
    told = await documents("standby", own, Board(json.dumps(said(host="leader")))).document()
    assert (told["host"], told["role"]) == ("leader", "leader")
    assert (told["page"]["source"], told["page"]["age_s"], told["page"]["is_stale"]) == ("redis", 0.4, False)
    assert (told["page"]["shown_by"]["host"], told["page"]["shown_by"]["role"]) == ("me", "standby")
    assert told["page"]["retrier"]["role"] == "leader"


async def test_a_page_says_what_headrace_status_says_of_the_same_status() -> None:
    trouble = said(role="suspended", limits={}, outcomes={})
    told = await documents("standby", said(role="standby"), Board(json.dumps(trouble))).document()
    of_verb = [{"grave": each.grave, "sentence": each.sentence} for each in findings(look(trouble))]
    assert [each for each in told["page"]["findings"] if not each["sentence"].startswith("Retrier")] == of_verb
    assert any(each["grave"] for each in of_verb)


async def test_an_old_report_is_said_to_be_old() -> None:
    told = await documents(
        "standby", said(role="standby"), Board(json.dumps(said()), age_s=40.0, holder=None)
    ).document()
    assert (told["page"]["is_stale"], told["page"]["flow"]) == (True, "stopped")
    assert "reported 40 s ago" in told["page"]["sentence"]


async def test_without_redis_a_process_shows_itself_and_says_so() -> None:
    board = Board(None)
    board.left = None
    for there in (board, None):
        told = await documents("standby", said(role="standby", host="me"), there).document()
        assert (told["host"], told["page"]["source"], told["page"]["standbys"]) == ("me", "own", None)
        assert told["page"]["flow"] == "unknown"


async def test_a_key_in_redis_that_is_spoilt_is_said_on_the_leaders_page_and_on_a_standbys() -> None:
    for role in ("leader", "standby"):
        told = await documents(role, said(role=role), Board(json.dumps(said()), spoilt=("Spoilt.",))).document()
        assert {"grave": True, "sentence": "Spoilt."} in told["page"]["findings"]


async def test_a_retrier_that_left_nothing_is_none() -> None:
    async def nothing() -> Reported:
        return Reported("headrace:c:r", None, None, None, 0)

    board = Board(json.dumps(said(parked=3)))
    board.retrier = nothing  # type: ignore[method-assign]
    told = await documents("standby", said(role="standby"), board).document()
    assert told["page"]["retrier"] is None
    assert any("no retrier has ever reported" in each["sentence"] for each in told["page"]["findings"])


async def test_a_report_that_cannot_be_read_is_not_said_to_be_absent() -> None:
    huge = json.dumps(said(more="x" * REPORT_CHARS_MAX))
    for status in ("[]", "no json", "[" * 100_000, huge):
        told = await documents("standby", said(role="standby"), Board(status)).document()
        assert told["page"]["flow"] == "unknown"
        assert [each["sentence"] for each in told["page"]["findings"]] == [
            "The value of headrace:c:g:status in Redis is not a status."
        ]


async def test_a_reason_that_cannot_be_put_in_words_costs_no_other_limit_its_own() -> None:
    good = {"next_waits_for": [{"kind": "memory", "held_bytes": 2_048, "most": 2_048}], "waiting": 1}
    own = said(limits={"a": {"next_waits_for": [3]}, "b": good})
    told = await documents("leader", own, None).document()
    assert told["page"]["binds"].keys() == {"b"}


async def test_a_leader_shows_itself_whatever_another_program_has_left_of_a_status() -> None:
    for status in ("no json", "x" * REPORT_CHARS_MAX * 2):
        told = await documents("leader", said(host="me"), Board(status)).document()
        assert (told["host"], told["page"]["flow"], told["page"]["findings"]) == ("me", "flows", [])


async def test_no_report_at_all_is_a_document_too() -> None:
    told = await documents("standby", said(role="standby"), Board(None, holder=None)).document()
    assert "host" not in told
    assert (told["page"]["flow"], told["page"]["is_stale"]) == ("stopped", False)


async def test_a_status_that_cannot_be_read_costs_its_findings_and_not_the_document() -> None:
    for status in ("[]", "no json", json.dumps(said(parked="many", lanes=3, limits={"a": 3, "b": {"waiting": "x"}}))):
        told = await documents("standby", said(role="standby"), Board(status)).document()
        assert told["page"]["findings"]
        assert told["page"]["sentence"]


def test_the_introduction_has_the_table_of_panels_and_the_settings_that_figures_are_shown_against() -> None:
    told = documents("leader", said(), None).introduction()
    assert list(told["panels"]) == [panel.key for panel in PANELS]
    assert told["panels"]["backlog_seconds"]["figure"] == "lanes.*.waiting_seconds"
    assert list(told["lanes"]) == ["urgent", "standard", "bulk"]
    json.dumps(told)


# ---------------------------------------------------------------------------------------------------- a failover


@VIRTUAL_TIME
async def test_a_successor_goes_on_from_the_history_that_the_leader_has_left() -> None:
    world = World(latency_s=0.1)
    first, second = Process(world, "a"), Process(world, "b")
    serving = [asyncio.create_task(each.dispatcher.serve(nowhere)) for each in (first, second)]
    await until(lambda: "leader" in {first.health.role, second.health.role})
    leader, standby = (first, second) if first.health.role == "leader" else (second, first)
    await warmed(world)
    await until(lambda: ended(leader) == 1, 10)
    await until(lambda: '"ended": [' in str(world.leases.get(f"{world.lease_key()}:status")), 10)
    shown = await standby.dispatcher.pages().documents.document()
    assert shown["lately"]["terms"][0]["term"] == shown["term"] == 1
    leader.link.cut()
    leader.lease.is_cut = True
    await led(standby)
    await until(lambda: len(lately(standby)["terms"]) == 2, 10)
    assert ended(standby) == 1, "counted by the leader before"
    assert sum(lately(standby)["lanes"]["urgent"]["taken"]) >= 1
    for task in serving:
        task.cancel()
    await asyncio.wait(serving)


def lately(process: Process) -> dict[str, Any]:
    found: dict[str, Any] = process.status.recent(process.clock.now_ms())["lately"]
    return found


def ended(process: Process) -> int:
    return sum(lately(process)["lanes"].get("urgent", {"ended": [0]})["ended"])


async def nowhere() -> str:
    return ""
