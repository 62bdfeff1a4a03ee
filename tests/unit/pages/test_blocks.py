"""Every fenced block of every page: of a known kind, run by a test, or with the reason why not above it."""

import json
import re
import shutil
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from headrace.broker.adapters.prices.price_file import read_price_file
from headrace.broker.adapters.prices.price_list import list_with
from headrace.broker.cli.main import main
from headrace.broker.cli.request_lines import submissions
from headrace.broker.gateway.keys.file import read_keys
from headrace.broker.settings.load import examine
from headrace.broker.settings.whole import Settings
from headrace.broker.simulator.behaviours.file import behaviours_in
from headrace.schemas.outcome import Completed
from tests.unit.pages import python, shell
from tests.unit.pages.blocks import ROOT, Block, blocks, blocks_of, of_kind
from tests.unit.pages.simulated import serves_http
from tests.virtual_time import VIRTUAL_TIME

KINDS = {"python", "sh", "toml", "yaml", "json", "text"}
BLOCKS = blocks()
SECRETS = {"redis-url": "redis://valkey:6379/0", "openai-key": "sk-of-a-page"}


def each_of(*kinds: str) -> pytest.MarkDecorator:
    found = of_kind(*kinds)
    return pytest.mark.parametrize("block", found, ids=map(str, found))


def test_the_pages_have_blocks_of_every_kind_and_no_other() -> None:
    assert len(BLOCKS) > 50
    assert {block.kind for block in BLOCKS} == KINDS, [str(block) for block in BLOCKS if block.kind not in KINDS]


def test_no_page_has_a_block_that_the_fences_do_not_show() -> None:
    for page in {block.page for block in BLOCKS}:
        text = (ROOT / page).read_text(encoding="utf-8")
        fences = re.findall(r"^ *(?:`{3,}|~{3,})", text, re.MULTILINE)
        assert len(fences) == 2 * len([block for block in BLOCKS if block.page == page]), page


def test_what_is_said_above_a_block_is_read() -> None:
    page = "<!-- not run: why -->\n```sh\nls\n```\n<!-- a/b.py -->\n```python\nx\n```\n\n"
    page += "<!-- run by t.py -->\n```text\n```\n"
    page += "<!-- line: install.plot; not run: it is slow -->\n```sh\n```\n<!-- not run: far -->\n\n```\n```\n"
    excused, quoting, run, line, bare = blocks_of("p.md", page)
    assert (excused.excuse, excused.line, excused.text) == ("why", 3, "ls\n")
    assert (quoting.file, run.runner) == ("a/b.py", "t.py")
    assert (line.source, line.excuse) == ("install.plot", "it is slow")
    assert bare == Block("p.md", bare.line, "", "")


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.runner], ids=str)
def test_the_test_that_is_said_to_run_a_block_reads_its_page(block: Block) -> None:
    runner = ROOT / block.runner
    assert runner.is_file()
    assert Path(block.page).parent.name in runner.read_text(encoding="utf-8")
    assert Path(block.page).name in runner.read_text(encoding="utf-8")


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.excuse], ids=str)
def test_what_an_excuse_names_exists(block: Block) -> None:
    assert len(block.excuse) > 8
    for name in re.findall(r"(?:tests|examples)/[\w./]*\w", block.excuse):
        assert (ROOT / name).exists(), name


# ---------------------------------------------------------------------------------------------------- shell


@pytest.mark.slow
@each_of("sh")
def test_all_that_is_ours_in_a_shell_block_exists(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sandbox(block, tmp_path))
    found = shell.commands(block)
    assert found
    for command in found:
        shell.check(command)


@each_of("sh")
def test_a_shell_block_is_run_or_says_why_not(block: Block) -> None:
    runs_whole = all(command.is_offline or command.is_harmless for command in shell.commands(block))
    assert runs_whole != bool(block.excuse or block.runner), "an excuse where none is needed, or none where one is"


RUN = [(block, command) for block in of_kind("sh") for command in shell.commands(block) if command.is_offline]


@pytest.mark.parametrize(
    ("block", "command"), RUN, ids=[f"{block} {' '.join(command.words[1:4])}"[:60] for block, command in RUN]
)
def test_a_command_that_needs_no_service_does_what_the_page_says(
    block: Block, command: shell.Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-page")
    assert shell.run(command, sandbox(block, tmp_path)) == 0


def test_a_command_with_a_misspelt_option_would_be_found() -> None:
    for line in ("headrace submit - --wiat", "headrace local upp", "headrace upstream --port x", "make dmeo"):
        [command] = shell.commands(Block("p.md", 1, "sh", line))
        with pytest.raises(Exception, match=r"--wiat|upp|valid integer|dmeo"):
            shell.check(command)


def sandbox(block: Block, home: Path) -> Path:
    """What a reader of this page has: a copy of the examples, and the files whose first lines name them."""
    shutil.copytree(ROOT / "examples", home / "examples", ignore=shutil.ignore_patterns("node", "go", "__pycache__"))
    shutil.copy(ROOT / "examples" / "leads.jsonl", home)
    for name, content in SECRETS.items():
        (home / name).write_text(content, encoding="utf-8")
    for each in of_kind("toml", "yaml"):
        if each.page == block.page and (named := re.match(r"# (\S+\.(?:toml|yaml))\n", each.text)):
            (home / named[1]).write_text(each.text.replace("/run/secrets", str(home)), encoding="utf-8")
    (home / "evening.toml").write_text(evening(), encoding="utf-8")
    return home


def evening() -> str:
    return next(each.text for each in of_kind("toml") if "[[behaviour]]" in each.text)


# ---------------------------------------------------------------------------------------------------- python


def timed(block: Block) -> Any:
    """Virtual time, in which no busy machine is late, but for what serves HTTP."""
    return pytest.param(block, id=str(block), marks=() if serves_http(block) else VIRTUAL_TIME)


@pytest.mark.slow
@pytest.mark.parametrize("block", [timed(block) for block in of_kind("python")])
async def test_a_python_block_runs_on_a_broker_in_memory(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "hush")
    calls = await python.run(block)
    assert calls or re.search(r"\bawait |^assert ", block.text, re.MULTILINE)


@each_of("python")
def test_a_python_block_imports_what_it_uses(block: Block) -> None:
    first = block.text.lstrip().splitlines()[0]
    assert re.match(r'(import|from) |"""', first), "import lines belong to the example"


CLIENT = 'from headrace.broker.client import GenerationClient\n\nasync with GenerationClient("k:1") as client:\n'
READER = "from headrace.consumers.results import ResultReader\n\n"


@pytest.mark.parametrize(
    "text",
    [
        "from headrace.broker.client import GenerationClint\n",
        CLIENT + "    await client.sbmit({})\n",
        READER + 'async with ResultReader("k:1", grop="x") as results:\n    pass\n',
    ],
    ids=["a name", "a method", "an argument"],
)
@VIRTUAL_TIME
async def test_a_python_block_with_a_mistake_would_be_found(text: str) -> None:
    with pytest.raises((ImportError, AttributeError, TypeError)):
        await python.run(Block("p.md", 1, "python", text))


# ---------------------------------------------------------------------------------------------------- data


@each_of("toml")
def test_a_toml_block_is_what_its_reader_takes(block: Block, tmp_path: Path) -> None:
    if "[[behaviour]]" in block.text:
        assert behaviours_in(block.text)
        return
    if "[keys." in block.text:
        assert read_keys(block.text.encode(), name="of the page").keys
        return
    file = tmp_path / "of_the_page.toml"
    if "[models." in block.text:
        file.write_text(block.text, encoding="utf-8")
        assert read_price_file(file).models
        return
    sandbox(block, tmp_path)
    file.write_text(block.text.replace("/run/secrets", str(tmp_path)), encoding="utf-8")
    assert tomllib.loads(block.text)
    assert [mistake.sentence for mistake in examine(file, environ={"OPENAI_API_KEY": "sk-x"}).mistakes] == []


@each_of("yaml")
def test_a_yaml_block_is_values_that_the_chart_takes(block: Block) -> None:
    schema: dict[str, Any] = json.loads((ROOT / "helm/headrace/values.schema.json").read_text(encoding="utf-8"))
    default = yaml.safe_load((ROOT / "helm/headrace/values.yaml").read_text(encoding="utf-8"))
    errors = Draft202012Validator(schema).iter_errors(laid_over(default, yaml.safe_load(block.text)))
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


def laid_over(under: Any, over: Any) -> Any:
    """As helm lays values over the chart's own."""
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    return {key: laid_over(under.get(key), over[key]) if key in over else under[key] for key in {**under, **over}}


@each_of("json")
def test_a_json_block_is_lines_of_requests_or_an_outcome_with_the_cost_of_its_usage(block: Block) -> None:
    if '"micro_usd"' in block.text:
        told = Completed(id="x", response={}, **json.loads(block.text))
        assert told.usage is not None
        at = datetime(2026, 12, 1, tzinfo=UTC)
        assert list_with(Settings(), None).cost(told.model or "", told.usage, tier="default", at=at) == told.cost
        return
    found = list(submissions(block.text.encode().splitlines(), lane="bulk", tenant=None, source=str(block)))
    assert len(found) == len(block.text.splitlines())


def test_the_json_that_a_shell_block_writes_to_a_lane_is_a_request() -> None:
    written = [
        json.loads(command.words[1])
        for block in of_kind("sh")
        for command in shell.commands(block)
        if command.words[:1] == ("echo",)
    ]
    assert written
    assert list(submissions((json.dumps(each).encode() for each in written), lane="urgent", tenant=None, source="-"))


# ---------------------------------------------------------------------------------------------------- text


@each_of("text")
def test_a_text_block_says_what_shows_it(block: Block) -> None:
    assert block.excuse or block.runner


def test_the_sentences_of_bad_lines_in_producers_md_are_those_that_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [block] = [each for each in of_kind("text") if each.page == "docs/producers.md"]
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
    lines = [json.dumps({"id": f"lead-{number}", "body": body}) for number in range(1, 41)]
    lines[1] = json.dumps({"id": "lead-2", "deadine": "2030-01-01T00:00:00Z", "body": body})
    lines[6] = '{"id": "lead-7", "lane": "urgent",}'
    (tmp_path / "leads.jsonl").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["submit", "leads.jsonl"]) == 2
    assert capsys.readouterr().err == block.text
