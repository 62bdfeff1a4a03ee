"""Recorded answers of many servers, mutated: nothing raises, all results are in bounds, and none takes long.

The seed is fixed, so that a failure can be repeated: `mutations(random.Random(SEED))` yields the same answers again.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from headrace.broker.core.answers.base_url import form_of
from headrace.broker.core.answers.dialect_table import TABLE
from headrace.broker.core.answers.error_body import DETAILS_MAX, answer_of
from headrace.broker.core.answers.numbers import COUNT_DIGITS_MAX
from headrace.broker.core.answers.rate_limit_headers import RESET_MS_MAX, Reading, SideReading
from headrace.broker.core.answers.verdict import WAIT_MS_MAX, Answer, Meaning, Verdict, judge
from tests.long_proofs import with_long
from tests.unit.core import recorded

SEED = 26
MUTATIONS = with_long([4_000, 12_000], 1)
CPU_S_MAX = 0.1
"""Processor time of one verdict; the usual one takes less than a thousandth of a second."""
COUNT_MAX = 10**COUNT_DIGITS_MAX
STRANGE = ("", "\x00", "\x1b[31m", "\ud800", "\u202e", "\N{FULLWIDTH DIGIT ONE}", "%3F", "\\u0000", "\r\n", "\N{BOM}")
NUMBERS = ("-1", "0", "1e999", "9" * 15, "9" * 16, "9" * 5_000, "1,2,3", "00012", "0x10", "NaN", "1.5", "½")
VALUES: tuple[Any, ...] = (None, True, -1, 10**400, 1.5, [], {}, "", "9" * 5_000, [[]], {"": {"": ""}})
SENTENCES = [template.sentence for row in TABLE for template in row.templates]


def mutations(dice: random.Random) -> Iterator[Answer]:
    """Answers as a server in some trouble, or a hostile one, might send them."""
    seeds = recorded.others()
    while True:
        given = dice.choice(seeds)["input"]
        whole: dict[str, Any] = given if isinstance(given, dict) else {"status": 429, "headers": {}, "body": given}
        headers = {name: str(text) for name, text in whole["headers"].items()}
        for _ in range(dice.randrange(1, 4)):
            headers = mutated_headers(headers, dice)
        body = whole["body"]
        text = body if isinstance(body, str) else json.dumps(body)
        match dice.randrange(4):
            case 0:
                body = mutated_text(text, dice)
            case 1:
                body = mutated_value(body, dice)
            case 2:
                body = nested(body, dice)
            case _:
                body = text.encode("utf-16", "surrogatepass").decode(dice.choice(["latin-1", "cp437"]))
        status = dice.choice([whole["status"], 429, 400, 500, 200, None, dice.randrange(-1, 1_000)])
        yield answer_of(status, headers, body)


def mutated_headers(headers: dict[str, str], dice: random.Random) -> dict[str, str]:
    known = [bucket.remaining for row in TABLE for bucket in row.buckets]
    name = dice.choice([*headers, "retry-after", "date", *dice.sample(known, 3)])
    text = headers.get(name, "5")
    changed = dice.choice([mutated_text(text, dice), dice.choice(NUMBERS), text + text, text[: len(text) // 2]])
    return headers | {dice.choice([name, name.upper(), name.replace("remaining", "limit")]): changed}


def mutated_text(text: str, dice: random.Random) -> str:
    start, end = sorted(dice.randrange(len(text) + 1) for _ in range(2))
    piece = text[start:end]
    return dice.choice(
        [
            text[:start] + text[end:],
            text[:end] + piece * dice.choice([1, 2, 40]) + text[end:],
            text[:start] + dice.choice(STRANGE) + text[start:],
            text[:start] + dice.choice(NUMBERS) + text[end:],
            text[:start] + piece[::-1] + text[end:],
            text.swapcase(),
            "".join(dice.sample(text, len(text))),
        ]
    )


def mutated_value(value: Any, dice: random.Random) -> Any:
    """The value with one of its parts replaced, doubled, dropped or renamed."""
    if isinstance(value, dict) and value and dice.random() < 0.8:
        name = dice.choice(list(value))
        rest = {key: part for key, part in value.items() if key != name}
        return dice.choice([rest, value | {name: mutated_value(value[name], dice)}, rest | {name.upper(): value[name]}])
    if isinstance(value, list) and value and dice.random() < 0.8:
        return dice.choice([value * 50, value[1:], [mutated_value(value[0], dice), *value[1:]]])
    if isinstance(value, str) and dice.random() < 0.7:
        return mutated_text(value, dice)
    return dice.choice(VALUES)


def nested(value: Any, dice: random.Random) -> Any:
    """The value deep within envelopes, as objects or as texts."""
    for _ in range(dice.choice([1, 3, 5, 60])):
        value = dice.choice([{"error": value}, {"error": {"message": value, "code": 429}}, {"detail": value}, [value]])
        if dice.random() < 0.2:
            value = json.dumps(value)[:20_000]
    return value


def check(verdict: Verdict) -> None:
    """What a dispatcher relies on, whatever was said."""
    assert verdict.wait_ms is None or 0 <= verdict.wait_ms <= WAIT_MS_MAX
    assert verdict.charge is None or 0 <= verdict.charge < COUNT_MAX
    assert len(verdict.readings) + len(verdict.side_readings) < 64
    shown: list[Reading | SideReading] = [*verdict.readings, *verdict.side_readings]
    for reading in shown:
        assert 0 <= reading.remaining <= reading.capacity < COUNT_MAX
        assert reading.period_ms is None or 0 < reading.period_ms <= max(RESET_MS_MAX, 10**8 * 1_000)
        assert reading.full_in_ms is None or 0 <= reading.full_in_ms <= RESET_MS_MAX
    for stated in (verdict.snapshot, verdict.limit):
        if stated is not None:
            assert stated.capacity is None or 0 < stated.capacity < COUNT_MAX
            assert stated.used is None or 0 <= stated.used < COUNT_MAX
            assert stated.requested is None or 0 <= stated.requested < 2 * COUNT_MAX
            assert stated.period_ms is None or 0 < stated.period_ms <= 10**8 * 1_000
    assert verdict.snapshot is None or verdict.meaning in {Meaning.RATE_LIMITED, Meaning.TOO_LARGE}
    assert verdict.sentence.endswith(".")
    assert verdict.sentence.isprintable()


def cpu_s(answer: Answer) -> float:
    begun_s = time.process_time()
    judge(answer)
    return time.process_time() - begun_s


@pytest.mark.slow
@pytest.mark.parametrize("count", MUTATIONS)
def test_thousands_of_mutations_of_other_servers_answers_are_judged(count: int) -> None:
    meanings, seen = Counter[Meaning](), Counter[str]()
    for answer, _ in zip(mutations(random.Random(SEED)), range(count), strict=False):
        assert len(answer.details) <= DETAILS_MAX
        verdict = judge(answer)
        check(verdict)
        form_of(answer)
        meanings[verdict.meaning] += 1
        seen.update(
            name
            for name in ("readings", "side_readings", "snapshot", "limit", "wait_ms", "charge")
            if getattr(verdict, name)
        )
    assert set(meanings) >= set(Meaning) - {Meaning.TIMEOUT, Meaning.CONNECTION, Meaning.NOT_THE_API}
    least = min(seen[name] for name in ("readings", "side_readings", "snapshot", "limit", "wait_ms", "charge"))
    assert least > count // 120


def hostile() -> Iterator[str]:
    """Texts that an expression which repeats without a bound would take long for."""
    pieces = [
        "Error: ",
        "a.",
        "rate limit ",
        "rate limit of 1",
        "quotaId: a; ",
        "1,",
        "9",
        " ",
        "retry in 1",
        "1 s and ",
    ]
    pieces += ["try again in ", "current rpm: 1, rpm limit: 1, ", "Rate limit reached for ", "<", "Limit 1 Used 1 "]
    pieces += [
        "Quota exceeded for metric: a",
        "x" * 50 + "Exception: ",
        "(length 1) ",
        "on tokens per min ",
        "model: a",
    ]
    pieces += [
        "".join(letter for letter in sentence if letter.isalnum() or letter in " :,.(") for sentence in SENTENCES
    ]
    for piece in pieces:
        yield (piece * 2_000)[:70_000]
        yield "litellm.RateLimitError: " * 30 + (piece * 500)[:20_000] + "!"


@pytest.mark.slow
def test_no_text_takes_long_whatever_it_repeats() -> None:
    for text in hostile():
        for status in (429, 500, 400, None):
            details = (("retrydelay", text), ("quotaid", text), ("raw", text))
            answer = Answer(
                status, {"ratelimit-policy": text, "retry-after": text}, None, None, None, text, details=details
            )
            assert any(cpu_s(answer) < CPU_S_MAX for _ in range(3)), (status, text[:80])


def test_no_mutation_takes_long() -> None:
    for answer, _ in zip(mutations(random.Random(SEED + 1)), range(500), strict=False):
        taken_s = cpu_s(answer)
        if taken_s > CPU_S_MAX:
            taken_s = min(cpu_s(answer) for _ in range(3))  # once may be the collector of garbage
        assert taken_s < CPU_S_MAX, answer
