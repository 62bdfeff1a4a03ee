"""A workload file: what it may say, and one sentence with the nearest key for what it may not."""

import json
from pathlib import Path

import pytest

from headrace.broker.planner.amounts import clock_ms, per_hour, span, span_ms
from headrace.broker.planner.workload import HOUR_MS, RequestBatch, Span, Stream, Workload
from headrace.broker.planner.workload_file import WorkloadError, workload_in

LANES = ("urgent", "standard", "bulk")
EXAMPLE = Path(__file__).parents[3] / "examples" / "workload.toml"


def read(text: str) -> Workload:
    return workload_in(text, is_json=False, lanes=LANES)


def complaint(text: str, *, is_json: bool = False) -> str:
    with pytest.raises(WorkloadError) as caught:
        workload_in(text, is_json=is_json, lanes=LANES)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def of_stream(lines: str) -> str:
    return complaint(f'[[stream]]\nlane = "bulk"\nrate = "1/s"\n{lines}')


def test_every_key_is_read() -> None:
    found = read(
        """
        hours = 12.5
        starts = "22:30"
        seed = 3
        [[stream]]
        name = "leads"
        lane = "urgent"
        rate = "90/min"
        rhythm = [1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]
        model = "gpt-4o"
        endpoint = "responses"
        input_tokens = "100-200"
        output_tokens = 50
        max_tokens = 500
        messages = 3
        service_tier = "flex"
        deadline = "10 min"
        [[stream]]
        lane = "bulk"
        count = 5
        at = "20:00"
        within = "1 h"
        """
    )
    leads, second = found.streams
    assert (found.span_ms, found.starts_ms, found.seed) == (45_000_000, 81_000_000, 3)
    assert leads == Stream(
        name="leads",
        lane="urgent",
        per_hour=5_400,
        rhythm=(1.0, 2.0, *[1.0] * 21, 0.0),
        model="gpt-4o",
        endpoint="responses",
        input_tokens=Span(100, 200),
        output_tokens=Span(50, 50),
        max_tokens=500,
        messages=3,
        service_tier="flex",
        deadline_ms=600_000,
    )
    assert second == Stream("stream 2", "bulk", batch=RequestBatch(5, 20 * HOUR_MS, HOUR_MS))


@pytest.mark.parametrize("named", ['""', '"two words"', "7"])
def test_the_name_of_a_service_tier_is_one_word(named: str) -> None:
    assert "is not the name of a service tier, such as flex" in of_stream(f"service_tier = {named}")


def test_json_says_the_same_as_toml() -> None:
    told = {"hours": 2, "stream": [{"lane": "bulk", "rate": "2/s"}]}
    assert workload_in(json.dumps(told), is_json=True, lanes=LANES) == read(
        'hours = 2\n[[stream]]\nlane = "bulk"\nrate = "2/s"'
    )


def test_the_example_can_be_played() -> None:
    found = read(EXAMPLE.read_text(encoding="utf-8"))
    assert {stream.lane for stream in found.streams} == set(LANES)
    assert any(stream.rhythm for stream in found.streams)
    assert any(stream.batch for stream in found.streams)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hours = ", ("TOML",)),
        ("hours = 1", ("at least one [[stream]]",)),
        ("stream = 3", ("at least one [[stream]]",)),
        ('huors = 1\n[[stream]]\nlane = "bulk"\nrate = "1/s"', ("'huors'", "did you mean 'hours'?")),
        ('hours = 0\n[[stream]]\nlane = "bulk"\nrate = "1/s"', ("hours: 0",)),
        ('starts = "25:00"\n[[stream]]\nlane = "bulk"\nrate = "1/s"', ("starts:", "22:30")),
        ('[[stream]]\nrate = "1/s"', ("number 1", "has no lane", "urgent, standard, bulk")),
        ('[[stream]]\nname = "x"\nlane = "urgnet"\nrate = "1/s"', ("'x'", "did you mean 'urgent'?")),
        ('[[stream]]\nlane = "bulk"', ("needs a rate",)),
        ('[[stream]]\nlane = "bulk"\nrate = "1/s"\ncount = 3', ("needs a rate",)),
        ('[[stream]]\nlane = "bulk"\nrate = "1/s"\nat = "20:00"', ("belong to a count",)),
        ('[[stream]]\nlane = "bulk"\ncount = 3\nrhythm = [' + "1," * 24 + "]", ("belongs to a rate",)),
        ('[[stream]]\nlane = "bulk"\nrate = "900000/s"', ("requests are more than",)),
    ],
)
def test_a_mistake_is_one_sentence_that_names_its_place(text: str, words: tuple[str, ...]) -> None:
    sentence = complaint(text)
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('dedline = "1 h"', ("'dedline'", "did you mean 'deadline'?")),
        ("rhythm = [1, 2]", ("rhythm", "24 weights")),
        ('rhythm = "daily"', ("24 weights",)),
        ('endpoint = "chat"', ("there is no endpoint 'chat'",)),
        ('input_tokens = "many"', ("input_tokens", "300-1200")),
        ("messages = 0", ("messages", "whole number")),
        ("messages = true", ("whole number",)),
        ('deadline = "soon"', ("deadline", "10 min")),
        ("name = 3", ("not text",)),
    ],
)
def test_a_mistake_in_a_stream_names_the_key(line: str, words: tuple[str, ...]) -> None:
    sentence = of_stream(line)
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize("text", ["[]", "3", "{", "[" * 100_000, '"text"'])
def test_json_that_is_no_workload_is_refused(text: str) -> None:
    assert complaint(text, is_json=True)


@pytest.mark.parametrize(
    ("text", "ms"),
    [("90 s", 90_000), (90, 90_000), ("10min", 600_000), ("1.5 h", 5_400_000), ("2 days", 172_800_000)],
)
def test_spans(text: object, ms: int) -> None:
    assert span_ms(text) == ms


@pytest.mark.parametrize(("text", "rate"), [("2/s", 7_200), ("90/min", 5_400), ("12/h", 12), ("24/day", 1), ("0/s", 0)])
def test_rates(text: str, rate: float) -> None:
    assert per_hour(text) == rate


@pytest.mark.parametrize("text", ["2", "/s", "2/fortnight", "nan/s", "-1/s", "inf/s", "1e99/s", ""])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="not a rate"):
        per_hour(text)


@pytest.mark.parametrize("text", ["", "0 s", "-3 s", "3 weeks", True, None])
def test_what_is_no_span(text: object) -> None:
    with pytest.raises(ValueError, match="not a span"):
        span_ms(text)


@pytest.mark.parametrize("text", ["", "9-3", "-5", "1-2-3", True, "1e3"])
def test_what_is_no_range(text: object) -> None:
    with pytest.raises(ValueError, match="not a number of tokens"):
        span(text)


def test_times_of_day() -> None:
    assert clock_ms("7:05") == 7 * HOUR_MS + 300_000
    with pytest.raises(ValueError, match="not a time of day"):
        clock_ms("24:00")
