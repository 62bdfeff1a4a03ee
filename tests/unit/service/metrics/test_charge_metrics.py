"""The law that is believed, as operators see it: in the log when it changes, as metrics, and in the status."""

from dataclasses import replace

from structlog.testing import capture_logs

from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.tariff import LawStatus
from headrace.broker.service.metrics import charge_metrics as charges
from headrace.broker.service.metrics.charge_metrics import Charges
from tests.unit.service.rig import MODEL, Process, World, led, until
from tests.virtual_time import VIRTUAL_TIME

CHAT = LawStatus("chat.completions", Law.CHAT_2025, True, 3, 0, (0, -1, 4), 3)


def counted(meter: Meter) -> str:
    return meter.render().decode()


def test_a_law_is_said_once_and_again_when_it_changes() -> None:
    looked = Charges(Meter())
    unknown = replace(CHAT, law=None, pieces=0, error_tokens=None, errors=(), errors_seen=0)
    with capture_logs() as logs:
        for standing in (unknown, CHAT, CHAT, replace(CHAT, law=Law.CHAT_LEGACY), unknown):
            looked.observe("gpt-4o", (standing,))
    assert [(line["log_level"], line["law"], line["before"]) for line in logs] == [
        ("info", "chat-2025", None),
        ("warning", "chat-legacy", "chat-2025"),
    ]
    assert logs[0]["limit"] == "gpt-4o"


def test_limits_of_which_nothing_is_known_take_no_place_from_others() -> None:
    """A model that does not exist has a limit, too, and producers can invent any number of them."""
    silent = replace(CHAT, law=None, pieces=0, error_tokens=None, errors=(), errors_seen=0)
    looked = Charges(Meter())
    for number in range(charges.KEPT_MAX):
        looked.observe(f"invented-{number}", (silent,))
    with capture_logs() as logs:
        looked.observe("gpt-4o", (CHAT,))
    assert [line["limit"] for line in logs] == ["gpt-4o"]


def test_the_law_with_the_most_evidence_stands_for_its_limit() -> None:
    meter = Meter()
    responses = LawStatus("responses", Law.RESPONSES, True, 9, 0, (), 0)
    Charges(meter).observe("gpt-4o", (CHAT, responses, replace(responses, endpoint="x", law=None, pieces=99)))
    assert 'headrace_charge_law{law="responses",model="gpt-4o"} 1.0' in counted(meter)
    assert "chat-2025" not in counted(meter)


def test_each_error_is_counted_once() -> None:
    meter = Meter()
    looked = Charges(meter)
    looked.observe("gpt-4o", (CHAT,))
    looked.observe("gpt-4o", (CHAT,))
    looked.observe("gpt-4o", (replace(CHAT, errors=(-1, 4, 7), errors_seen=4),))
    assert 'headrace_charge_error_tokens_count{model="gpt-4o"} 4.0' in counted(meter)
    assert 'headrace_charge_error_tokens_bucket{le="2.0",model="gpt-4o"} 2.0' in counted(meter)
    looked.observe("gpt-4o", (replace(CHAT, errors=(1,), errors_seen=1),))
    assert 'headrace_charge_error_tokens_count{model="gpt-4o"} 5.0' in counted(meter), "another term begins anew"


def test_no_more_limits_are_remembered_than_there_is_room_for() -> None:
    looked = Charges(Meter())
    with capture_logs() as logs:
        for number in range(charges.KEPT_MAX + 5):
            looked.observe(f"limit-{number}", (CHAT,))
            looked.observe(f"limit-{number}", (CHAT,))
    assert len(logs) == charges.KEPT_MAX


@VIRTUAL_TIME
async def test_the_status_says_how_each_law_stands() -> None:
    process = Process(World(latency_s=0.1), "a")
    process.start()
    await led(process)
    process.world.submit("lead-1", body={"model": MODEL, "messages": [{"role": "user", "content": "hello"}]})
    await until(lambda: len(process.world.outcomes()) == 1)
    process.telemetry.gauges(process.core, process.health, process.clock.now_ms())
    status = process.status.snapshot(process.clock.now_ms())
    await process.end()
    assert status["limits"][MODEL]["charges"] == {
        "chat.completions": {
            "law": None,
            "identified": False,
            "evidence": 0,
            "error_tokens": None,
            "charged_tokens": 19,
        }
    }
