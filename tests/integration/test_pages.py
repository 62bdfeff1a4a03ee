"""Shell lines of the pages as they stand, against the pair that this run has, a simulated OpenAI and two dispatchers.

First the three terminals of README.md and docs/start.md; then, in the order of `LINES`, what docs/start.md,
docs/producers.md, docs/consumers.md, docs/operators.md and examples/lead_ingest/README.md let their readers type; and
the servers of docs/upstream.md. Each line is typed once, in a folder with the files that its page has a reader make.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from headrace.broker.cli.main import main
from headrace.broker.local.services import LocalServices
from tests.unit.pages.blocks import of_kind
from tests.unit.pages.test_blocks import sandbox

Typed = Callable[[str], tuple[int, str]]
WITHIN_S = 60.0
QUICK = "--port 0 --latency 0-0.1 --tokens-per-minute 1000000"
"""Said behind what the page says, and so instead of it: sixty leads would take a minute and more of its quota."""


def lines_of(page: str, words: str) -> list[str]:
    """The lines of the block of that page which has these words."""
    [block] = [each for each in of_kind("sh") if each.page == page and words in each.text]
    return [line.partition("  #")[0].strip() for line in block.text.replace("\\\n", " ").splitlines()]


TERMINALS = lines_of("README.md", "headrace upstream")
"""What is typed into each, in the order of the page."""

PROCESSES = lines_of("docs/operators.md", "headrace retrier --config headrace.toml")
"""Topics, a dispatcher and a retrier with a file of settings."""

SAID: Mapping[str, tuple[int, str]] = {
    "headrace submit examples/leads.jsonl --wait": (0, '"status":"completed"'),
    "python examples/producer.py": (0, "submitted: generation.requests.urgent"),
    "headrace results --limit 3": (0, "lead-9001-email"),
    "headrace status": (0, "Kafka answers"),
    "headrace submit leads.jsonl --lane bulk --tenant acme": (0, '"topic": "generation.requests.bulk"'),
    "headrace submit - --wait < leads.jsonl": (0, '"status":"completed"'),
    "headrace cancel lead-8841-email lead-8842-email --wait": (1, "lead-8841-email was completed before"),
    "headrace results": (0, "lead-9001-email"),
    "headrace results --failed --from 2h": (0, ""),
    "headrace results --id lead-8841 --text": (0, ""),
    "headrace results --json": (0, '"status":"completed"'),
    "headrace config check headrace.toml": (0, ""),
    "headrace config show --changed": (0, "bootstrap_servers"),
    "headrace topics check": (0, ""),
    "headrace dead-letters list --reason rejected --model 'gpt-4o*' --since 2h": (0, ""),
    "headrace dead-letters show lead-8841-email": (0, "id_conflict"),
    "headrace dead-letters show generation.requests.bulk/3/1234 --raw > request.json": (1, ""),
    "headrace dead-letters replay --reason exhausted --since 2h --dry-run": (0, ""),
    "headrace dead-letters replay --reason exhausted --since 2h --rate 50 --deadline 6h": (0, ""),
    "headrace dead-letters replay --reason id_conflict --tenant acme --new-id --lane bulk": (0, "1"),
    "python -m lead_ingest lead_ingest/leads.csv --store /tmp/leads.db": (0, "written"),
}
"""Exit code of each line, and words that it prints. With 1 end a cancel of what is answered, and a place without a
dead letter."""
BEFORE = {"headrace dead-letters show lead-8841-email": "headrace submit again.jsonl --wait"}
"""Lines to be typed before one, so that it finds something."""
STAYS = "headrace results --follow --from 15m"
_BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
FILES = {
    "leads.jsonl": [{"id": f"own-{number}", "tenant": "acme", "body": _BODY} for number in range(3)],
    "again.jsonl": [{"id": "lead-8841-email", "tenant": "acme", "body": _BODY}],
}
"""A reader's own requests, and one with the id of a lead of the README."""

LINES = [
    TERMINALS[2],
    *lines_of("docs/start.md", "producer.py"),
    *lines_of("docs/producers.md", "headrace cancel"),
    *lines_of("docs/consumers.md", "--follow"),
    *lines_of("docs/operators.md", "headrace topics check"),
    *lines_of("docs/operators.md", "dead-letters show"),
    *lines_of("docs/operators.md", "dead-letters replay"),
    *lines_of("examples/lead_ingest/README.md", "lead_ingest")[1:],
]


def test_the_start_page_has_the_terminals_of_the_readme() -> None:
    assert lines_of("docs/start.md", "headrace upstream") == TERMINALS


def test_each_line_is_expected_to_end_in_a_certain_way_and_no_other_is() -> None:
    assert set(LINES) == {*SAID, STAYS}


@dataclass(frozen=True)
class Place:
    """Where the lines are typed, and the variables that are exported there."""

    folder: Path
    environ: Mapping[str, str]

    def typed(self, line: str) -> tuple[int, str]:
        """How a line ended, and what it said."""
        cwd = self.folder / "examples" if "-m lead_ingest" in line else self.folder
        line = line.replace("/tmp/", f"{self.folder}/")  # noqa: S108  # what the page writes, kept out of there
        done = subprocess.run(
            ["/bin/bash", "-c", line],
            cwd=cwd,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        return done.returncode, done.stdout or done.stderr

    @contextmanager
    def started(self, line: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        """A line that stays; what it says goes to `log`. It is ended as Ctrl-C would, with all that it started."""
        with log.open("wb") as said:
            shell = subprocess.Popen(
                ["/bin/bash", "-c", line],
                cwd=self.folder,
                env=self.environ,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        try:
            yield shell
        finally:
            if shell.poll() is None:
                os.killpg(shell.pid, signal.SIGTERM)
            shell.wait(WITHIN_S)


def said(log: Path, words: str) -> str:
    """Wait until the words stand in the log; all that stands there."""
    until = time.monotonic() + WITHIN_S
    while words not in (text := log.read_text(encoding="utf-8")):
        assert time.monotonic() < until, text
        time.sleep(0.05)  # a poll: a file that another process writes tells no end
    return text


@pytest.fixture(scope="module")
def place(services: LocalServices, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """All that the pages have their readers start, with the topics' default prefix, which the example producer has."""
    logs = tmp_path_factory.mktemp("logs")
    [settings] = [each for each in of_kind("toml") if each.page == "docs/operators.md" and "headrace.toml" in each.text]
    folder = sandbox(settings, tmp_path_factory.mktemp("reader"))
    for name, lines in FILES.items():
        (folder / name).write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HEADRACE_KAFKA__BOOTSTRAP_SERVERS": services.endpoints.bootstrap_servers,
        "HEADRACE_REDIS__URL": services.endpoints.redis_url,
        "HEADRACE_DISPATCHER__HTTP_PORT": "0",  # the page's own may be taken on a developer's machine
        "HEADRACE_RETRIER__HTTP_PORT": "0",
    }
    upstream, dispatcher, _ = TERMINALS
    topics, standby, retrier = PROCESSES
    with ExitStack() as running:
        running.enter_context(Place(folder, environ).started(f"exec {upstream} {QUICK}", logs / "upstream"))
        printed = said(logs / "upstream", "OPENAI_API_KEY=anything")
        environ |= dict(re.findall(r"(OPENAI_\w+)=(\S+)", printed.rpartition("export ")[2]))
        here = Place(folder, environ)
        running.enter_context(here.started(dispatcher, logs / "dispatcher"))
        said(logs / "dispatcher", '"event": "leading"')
        assert here.typed(topics)[0] == 0
        running.enter_context(here.started(standby, logs / "standby"))
        running.enter_context(here.started(retrier, logs / "retrier"))
        said(logs / "retrier", '"event": "listening"')
        yield here


@pytest.fixture
def typed(place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Types a line: a verb alone into the console script's own entry in this process, anything else into a shell."""

    def type_it(line: str) -> tuple[int, str]:
        if not line.startswith("headrace ") or set("<>&|") & set(line):
            return place.typed(line)
        capsys.readouterr()
        code = main(shlex.split(line)[1:])
        printed = capsys.readouterr()
        return code, printed.out or printed.err

    for name, value in place.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(place.folder)
    return type_it


@pytest.mark.parametrize("line", [line for line in LINES if line != STAYS])
def test_a_line_of_a_page_does_what_the_page_says(place: Place, typed: Typed, line: str) -> None:
    if line in BEFORE:
        typed(BEFORE[line])
    code, printed = typed(line)
    assert (code, SAID[line][1] in printed) == (SAID[line][0], True), printed
    if line == TERMINALS[2]:
        leads = (place.folder / "examples" / "leads.jsonl").read_text(encoding="utf-8").splitlines()
        assert printed.count(SAID[line][1]) == len([lead for lead in leads if lead.strip()])


def test_a_line_that_stays_shows_outcomes_as_they_come(place: Place, tmp_path: Path) -> None:
    with place.started(STAYS, tmp_path / "follow") as follow:
        assert said(tmp_path / "follow", "lead-9001-email")
        assert follow.poll() is None


def test_a_simulated_openai_of_a_page_serves(place: Place, tmp_path: Path) -> None:
    lines = [line for words in ("--latency", "--behaviours") for line in lines_of("docs/upstream.md", words)]
    served = [line for line in lines if line.startswith("headrace upstream")]
    assert len(served) == 3
    with ExitStack() as running:
        logs = [tmp_path / str(number) for number in range(len(served))]
        for line, log in zip(served, logs, strict=True):
            running.enter_context(place.started(f"exec {line} --port 0", log))
        assert all(said(log, "OPENAI_BASE_URL=http://") for log in logs)


def test_a_drawn_server_is_told_as_the_page_shows_it(place: Place, tmp_path: Path) -> None:
    [block] = [each for each in of_kind("text") if each.page == "docs/upstream.md" and "random:2" in each.text]
    typed, *shown = block.text.splitlines()
    with place.started(f"exec {typed.removeprefix('$ ')} --port 0", tmp_path / "upstream"):
        printed = said(tmp_path / "upstream", "Ctrl-C").splitlines()
    assert [re.sub(r":\d+/v1", ":8089/v1", line) for line in printed][: len(shown)] == shown
