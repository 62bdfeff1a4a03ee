"""A client library that repeats itself is heard once in ten seconds."""

import json
import logging
import subprocess
import sys
import unicodedata

import pytest

from headrace.broker.service.metrics.logs import REPEATED_EVERY_S, Sparingly, in_reading_order


def heard(sparingly: Sparingly, at_s: float, message: str, *args: object, name: str = "aiokafka") -> str | None:
    record = logging.LogRecord(name, logging.ERROR, __file__, 1, message, args, None)
    record.created = 1_800_000_000 + at_s
    return record.getMessage() if sparingly.filter(record) else None


def test_a_line_begins_with_when_how_bad_and_what() -> None:
    told = in_reading_order(None, "info", {"term": 7, "event": "leading", "level": "info", "timestamp": "t"})
    assert list(told) == ["timestamp", "level", "event", "term"]
    assert list(in_reading_order(None, "info", {"term": 7, "event": "leading"})) == ["event", "term"]


def test_the_same_message_is_heard_once_in_ten_seconds_with_a_count() -> None:
    sparingly = Sparingly()
    assert heard(sparingly, 0, "Unable connect to node %s", 1) == "Unable connect to node 1"
    assert heard(sparingly, 0.1, "Unable connect to node %s", 2) is None
    assert heard(sparingly, REPEATED_EVERY_S - 0.1, "Unable connect to node %s", 1) is None
    again = heard(sparingly, REPEATED_EVERY_S, "Unable connect to node %s", 3)
    assert again == "Unable connect to node 3 (and 2 times since the last such line)"
    assert heard(sparingly, 3 * REPEATED_EVERY_S, "Unable connect to node %s", 1) == "Unable connect to node 1"


def test_other_messages_and_other_libraries_are_heard_beside_it() -> None:
    sparingly = Sparingly()
    assert heard(sparingly, 0, "a") == "a"
    assert heard(sparingly, 0, "b") == "b"
    assert heard(sparingly, 0, "a", name="openai") == "a"
    assert heard(sparingly, 0, "a") is None


def test_a_clock_that_is_set_back_silences_nobody() -> None:
    sparingly = Sparingly()
    assert heard(sparingly, 0, "a") == "a"
    assert heard(sparingly, -3_600, "a") == "a"


def test_what_is_remembered_is_bounded() -> None:
    sparingly = Sparingly()
    for number in range(2_000):
        heard(sparingly, 0, f"{number} was here")
    assert len(sparingly._said) <= 500


def traced(name: str) -> tuple[str, bool]:
    """What is said of an error, and whether its trace is."""
    error = ValueError("The server failed.")
    record = logging.LogRecord(name, logging.ERROR, __file__, 1, "Unexpected %s", ("end",), (ValueError, error, None))
    assert Sparingly().filter(record)
    return record.getMessage(), bool(record.exc_info)


def test_a_trace_of_the_kafka_client_is_told_in_a_sentence_and_others_stay() -> None:
    assert traced("aiokafka.producer.sender") == ("Unexpected end: The server failed.", False)
    assert traced("asyncio") == ("Unexpected end", True)


SAYING = r"""
import logging
import structlog
from headrace.broker.service.metrics.logs import configure_logging

configure_logging()
evil = "gpt\x1b[31m\x7f\x9b2J\u202e\u2028\ud800" + "m" * 1_000_000
class Rude:
    def __str__(self):
        raise RuntimeError(evil)
structlog.get_logger("a").warning("of_ours", model=evil, **{evil[:9]: [{evil[:9]: (evil,)}]})
try:
    raise ValueError(evil[-100:] + evil[:20])
except ValueError:
    structlog.get_logger("a").exception("with_a_trace")
    logging.getLogger("asyncio").exception("Task %s ended", evil)
    logging.getLogger("aiokafka.conn").exception("Closed %s", evil)
for name in ("openai", "httpx2", "redis", "aiohttp.server"):
    logging.getLogger(name).warning("%s answers %r", evil, {evil[:9]: evil})
logging.getLogger("redis").warning("%s %s", evil)
logging.getLogger("redis").warning("of a rude one %s", Rude())
"""


@pytest.mark.slow
def test_every_line_is_short_json_of_letters_whichever_library_logs_it() -> None:
    done = subprocess.run([sys.executable, "-c", SAYING], capture_output=True, check=True)
    assert done.stdout == b""
    lines = done.stderr.decode().splitlines()  # which a separator of lines would part as well
    told = [json.loads(line) for line in lines]
    assert len(told) == 10
    assert told[0]["event"] == "of_ours"
    assert told[0]["model"].startswith(r"gpt\x1b[31m\x7f\x9b2J\u202e\u2028\ud800mmm")
    assert [one["event"] for one in told[8:]] == [
        "a line of redis is lost: TypeError",
        "a line of redis is lost: RuntimeError",
    ]
    assert "ValueError" in told[1]["exception"]
    assert "ValueError" in told[2]["exception"]
    for line, one in zip(lines, told, strict=True):
        assert len(line) < 40_000
        shown = repr(one) + "".join(str(each) for each in one.values() if each is not one.get("exception"))
        assert not [letter for letter in shown if unicodedata.category(letter)[0] == "C" or letter == "\u2028"]
