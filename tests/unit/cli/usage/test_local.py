"""`headrace local` where something runs already, has died, or was never there.

Each row is run through the console's own entry, and prints one sentence on standard error, or says what it did.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from headrace.broker.cli.main import main
from headrace.broker.local.known import note, unnamed
from headrace.broker.local.record import remove_record
from tests.unit.cli.usage.row import LIBRARY_WORDS
from tests.unit.local.standins import dies, pair


@dataclass(frozen=True)
class Usage:
    """One usage, and which pairs of servers there are then.

    Attributes:
        arguments: Of `headrace local`; `{tmp}` is a directory of the test's own.
        code: The exit code.
        says: A pattern of what is told, on either stream.
        pairs: What has been started before: `unnamed`, `named`, both.
        dead: Servers of the first of them that have died: `kafka`, `valkey`.
        lost: Its record is gone.
    """

    arguments: str
    code: int
    says: str
    pairs: tuple[str, ...] = ()
    dead: tuple[str, ...] = ()
    lost: bool = False


ROWS = (
    Usage("up --nodes 0 --foreground", 2, r"A local Kafka has 1 node or 3, not 0"),
    Usage("up --nodes -3", 2, r"A local Kafka has 1 node or 3, not -3"),
    Usage("down --data {tmp}/nowhere", 0, r"Nothing to stop: no local Kafka and Valkey run in .*/nowhere\."),
    Usage("down", 0, r"Nothing to stop: no local Kafka and Valkey run\."),
    Usage("status", 3, r"No local Kafka and Valkey run: start them with `headrace local up`\."),
    Usage(
        "status --data {tmp}/nowhere", 3, r"run in .*/nowhere: start them with `headrace local up --data .*/nowhere`\."
    ),
    Usage(
        "up --nodes 3", 2, r"A Kafka with 1 node runs already, in .*: end it with `headrace local down`", ("unnamed",)
    ),
    Usage(
        "up",
        0,
        r"Valkey had ended: started again, empty\. Kafka and its topics are unchanged",
        ("unnamed",),
        ("valkey",),
    ),
    Usage("up --data {tmp}/named", 0, r"Valkey had ended: started again, empty\.", ("named",), ("valkey",)),
    Usage("up", 2, r"Servers without a record still run in .* \(pid \d+, pid \d+\): end", ("unnamed",), lost=True),
    Usage("up --foreground", 2, r"Both already run in .*: stop them with `headrace local down` first\.", ("unnamed",)),
    Usage("up", 0, r"\(Another Kafka and Valkey run in .*/named\.\)", ("named", "unnamed")),
    Usage("status", 0, r"\(Another Kafka and Valkey run in .*/local\.\)", ("unnamed", "named")),
    Usage(
        "status",
        3,
        r"Only a part .* runs in .*/local \(pid \d+\); .*: `headrace local up` starts",
        ("unnamed",),
        ("valkey",),
    ),
    Usage("down", 0, r"in .*/local have stopped \(pid \d+, \d+\); their data are deleted\.", ("unnamed",)),
    Usage("down", 0, r"(?s)/local have stopped .*/named have stopped .*their data stay", ("unnamed", "named")),
    Usage("down --data {tmp}/named", 0, r"^Kafka and Valkey in .*/named have stopped", ("unnamed", "named")),
    Usage("down", 0, r"\(pid \d+, \d+\)", ("unnamed",), lost=True),
    Usage("down", 0, r"\(no process was left\); their data stay\.", ("named",), ("kafka", "valkey")),
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HEADRACE_CACHE_DIR", str(tmp_path / "cache"))
    yield tmp_path
    main(["local", "down"])  # what a row has started


@pytest.mark.slow
@pytest.mark.parametrize(
    "row", ROWS, ids=lambda row: f"{row.arguments} {'+'.join((*row.pairs, *row.dead))}{' lost' * row.lost}".strip()
)
def test_each_usage_ends_in_a_sentence_that_helps(row: Usage, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    homes = {"unnamed": unnamed(), "named": home / "named"}
    with ExitStack() as running:
        for place, name in enumerate(row.pairs):
            _, (kafka, valkey) = running.enter_context(pair(homes[name]))
            note(homes[name])
            if place == 0:
                for server in row.dead:
                    dies({"kafka": kafka, "valkey": valkey}[server])
                if row.lost:
                    remove_record(homes[name])
        code = main(["local", *row.arguments.format(tmp=home).split()])
        told = capfd.readouterr()
        assert code == row.code, told
        assert re.search(row.says, told.out + told.err, re.MULTILINE), told
        assert not LIBRARY_WORDS.search(told.out + told.err), told
        if code:
            assert len(told.err.strip().splitlines()) == 1, told
            assert told.out == ""
        main(["local", "down"])
