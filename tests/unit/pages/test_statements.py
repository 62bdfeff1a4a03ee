"""What two pages say of one thing is the same, and is what the code does: ports, exit codes, processes, retention."""

import ast
import re
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

import headrace.broker.service.leadership.leadership  # noqa: F401  # one of the errors is defined there
from headrace.broker import errors
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.settings.whole import Settings
from tests.unit.pages.blocks import PAGES, ROOT

OPERATORS = ROOT / "docs" / "operators.md"
CRITIQUES = ROOT / "docs" / "critiques.md"
UPSTREAM_PORT = 8089
DAY_S = 86_400


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------------------------- ports


def ports_told() -> list[tuple[str, str, int]]:
    """Page, process and port of each place that says how a further process gets a port of its own."""
    told = r"HEADRACE_(DISPATCHER|RETRIER)__HTTP_PORT=(\d+)"
    return [
        (page.name, process.lower(), int(port)) for page in PAGES for process, port in re.findall(told, text_of(page))
    ]


def test_a_further_process_is_told_a_port_that_no_process_has_by_default() -> None:
    settings = Settings()
    taken = {settings.dispatcher.http_port, settings.retrier.http_port, UPSTREAM_PORT}
    told = ports_told()
    assert {page for page, _, _ in told} >= {"README.md", "operators.md"}
    assert [each for each in told if each[2] in taken] == []
    for page in {page for page, _, _ in told}:
        there = {(process, port) for name, process, port in told if name == page}
        assert len({port for _, port in there}) == len(there), page


# ---------------------------------------------------------------------------------------------------- exit codes


@cache
def raised() -> dict[str, set[str]]:
    """Each error of ours, and the sentences that it is raised with, placeholders as `…`."""
    found: dict[str, set[str]] = {}
    for path in (path for room in ("broker", "consumers") for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(text_of(path))):
            match node:
                case ast.Raise(exc=ast.Call(func=ast.Name(id=name), args=[told, *_])):
                    found.setdefault(name, set()).add(sentence_of(told))
    return found


def exit_code_of(name: str) -> int:
    """Of an error by its name, wherever it is defined."""
    every = [errors.HeadraceError]
    for each in every:
        every += each.__subclasses__()
    return next(each.exit_code for each in every if each.__name__ == name)


def sentence_of(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(sentence_of(part) if isinstance(part, ast.Constant) else "…" for part in parts)
    return ""


COMPOSED = re.compile("parked requests could|^In Kafka user")
"""What is put together elsewhere than where it is raised; tests of the settings and of rights look at its code."""


def rows_with_an_exit_code() -> list[tuple[int, str]]:
    found = re.findall(r'^\| (?:the retrier: )?exit (\d), "([^"]+)"', text_of(OPERATORS), re.MULTILINE)
    return [(int(code), said) for code, said in found]


def fits(said: str, sentence: str) -> bool:
    """Whether the pieces between the marks of omission stand in the sentence, in order."""
    pieces = [piece.strip(" `") for piece in said.split("…") if piece.strip(" `.")]
    return bool(re.search(".*".join(map(re.escape, pieces)), sentence))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "said"), sorted({row for row in rows_with_an_exit_code() if not COMPOSED.search(row[1])})
)
def test_the_exit_code_in_the_guide_is_that_of_the_error_with_this_sentence(code: int, said: str) -> None:
    names = {name for name, sentences in raised().items() if any(fits(said, sentence) for sentence in sentences)}
    assert names, said
    assert {exit_code_of(name) for name in names} == {code}


def test_the_guide_has_rows_with_exit_codes() -> None:
    assert len(rows_with_an_exit_code()) >= 6


# ---------------------------------------------------------------------------------------------------- what there is


def test_the_producers_guide_explains_every_field_of_a_connection_and_shows_each() -> None:
    guide = text_of(ROOT / "docs" / "producers.md")
    [table] = re.findall(r"^\| field of a `KafkaConnection` .*?\n\n", guide, re.MULTILINE | re.DOTALL)
    named = [name for row in table.strip().splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert named == [each.name for each in fields(KafkaConnection)]
    [example] = re.findall(r"^connection = KafkaConnection\((.*?)^\)", guide, re.MULTILINE | re.DOTALL)
    assert re.findall(r"^    (\w+)=", example, re.MULTILINE) == named[1:]


def test_the_guide_says_how_many_to_run_of_each_process() -> None:
    [table] = re.findall(r"^## What you run$(.*?)^A \*budget\*", text_of(OPERATORS), re.MULTILINE | re.DOTALL)
    [starting] = re.findall(r"^## Starting$(.*?)^### ", text_of(OPERATORS), re.MULTILINE | re.DOTALL)
    for process in ("headrace dispatcher", "headrace retrier"):
        assert f"`{process}`" in table
        assert f"\n{process} " in starting


def test_the_critiques_name_how_long_what_holds_prompts_is_kept() -> None:
    topics = Settings().topics
    [said] = re.findall(r"\*\*Prompts and answers stand in Kafka.*?(?=\n- )", text_of(CRITIQUES), re.DOTALL)
    kept_s = {topics.requests.retention_s, topics.failures.retention_s, topics.results.retention_s}
    assert {each // DAY_S for each in kept_s} == {
        int(days) for days in re.findall(r"for (\d+) days in the lanes", said)
    }
    assert f"for {topics.dead_letters.retention_s // DAY_S} in the dead\n  letters" in said
    assert topics.chunks.retention_s == 3_600
    assert "an hour in the chunks" in said


STATED_ONCE = {
    "rights are asked for before a start": (r"Rights are not checked", r"ask for their rights before they start"),
    "nodes are ended under working dispatchers": (r"nothing yet runs dispatchers on three", r"by `make chaos`"),
    "a call that kills at once is made six times": (r"It is called in\s+every term then", r"six times at most"),
    "a retry leaves its lane": (r"a retry\s+of an hour", r"A wait above `retry\.in_place_max_s` publishes"),
    "clients write timestamps": (r"Kafka's timestamps alone", r"Clocks of clients that differ by less than a minute"),
    "a cancelled request has no dead letter": (
        r"Every Failed has a dead letter",
        r"There is no dead letter, so a cancelled",
    ),
    "a dead letter may be all there is": (r"`lost_by_retention`\. A value", r"its dead letter alone says so"),
    "a standby needs the coordinators": (r"ready while it follows the ledger\.", r"and both coordinators: those of"),
    "nothing is released": (r"There is one\s+release so far", r"an older one on these pages"),
}
"""What one page denied and another one says: the denial, and where it is said."""


@pytest.mark.parametrize("thing", STATED_ONCE)
def test_what_one_page_says_no_other_page_denies(thing: str) -> None:
    denied, said = STATED_ONCE[thing]
    pages = {page.name: text_of(page) for page in PAGES}
    assert any(re.search(said, text) for text in pages.values()), "mend this table with the page"
    assert [name for name, text in pages.items() if re.search(denied, text)] == []
