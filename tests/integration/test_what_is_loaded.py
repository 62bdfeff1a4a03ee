"""What a process loads and what it does without: each test starts an interpreter of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def test_help_goes_without_anything_heavy() -> None:
    heavy = "pydantic openai redis aiokafka tiktoken aiohttp prometheus_client"
    before = _cpu_s_of_children()
    loaded, shown = _loaded(["--help"], heavy)
    assert loaded == set()
    assert "\x1b" not in shown
    assert _cpu_s_of_children() - before < 1  # 0.14 s on a quiet machine; users are promised 0.4 s


@pytest.mark.parametrize("verb", ["results", "submit"])
def test_a_producer_or_reader_loads_nothing_of_the_dispatcher(verb: str) -> None:
    assert _loaded([verb, "--help"], "openai redis tiktoken prometheus_client")[0] == set()


@pytest.mark.parametrize("reader", ["dead_letters", "chunks"])
def test_a_reader_of_dead_letters_or_chunks_loads_neither_openai_nor_tiktoken_nor_redis(reader: str) -> None:
    code = (
        f"import sys, headrace.consumers.{reader}; "
        "assert not {'openai', 'tiktoken', 'redis', 'typer', 'rich'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_matplotlib_the_extra_is_named_before_anything_is_played(tmp_path: Path) -> None:
    plot = tmp_path / "plan.png"
    program = (
        "import sys; sys.modules['matplotlib'] = None; from headrace.broker.cli.main import main; "
        f"sys.exit(main(['simulate', '--rate=urgent=1/min', '--tokens-per-minute=20000', '--plot', {str(plot)!r}]))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "headrace[plot]" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not plot.exists()


def test_without_a_plot_matplotlib_is_not_loaded() -> None:
    program = (
        "import sys; from headrace.broker.cli.main import main; "
        "main('simulate --rate urgent=1/min --hours 0.1 --tokens-per-minute 20000 --quotas 1'.split()); "
        "sys.exit(any(name.split('.')[0] in ('matplotlib', 'openai', 'aiokafka', 'tiktoken') for name in sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


_COMPOSE = (
    "import sys\n"
    "{before}"
    "from headrace.broker.errors import SettingsError\n"
    "from headrace.broker.service.compose import spans_of\n"
    "from headrace.broker.settings.load import load_settings\n"
    "try:\n"
    "    spans = spans_of(load_settings(environ={environ!r}), 'headrace-dispatcher', {{}})\n"
    "except SettingsError as error:\n"
    "    sys.exit(str(error))\n"
    "loaded = [name for name in sys.modules if name.startswith(('opentelemetry.exporter', 'requests'))]\n"
    "print(spans is not None, bool(loaded))\n"
)
_ENDPOINT = {"HEADRACE_TRACING__ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(("environ", "printed"), [({}, "False False"), (_ENDPOINT, "True True")])
def test_a_process_loads_an_exporter_only_if_it_traces(environ: dict[str, str], printed: str) -> None:
    code = _COMPOSE.format(before="", environ=environ)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split("\n")[-2] == printed


def test_without_the_extra_a_process_that_is_to_trace_does_not_start() -> None:
    code = _COMPOSE.format(before="sys.modules['opentelemetry'] = None\n", environ=_ENDPOINT)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.endswith("the extra otel is not installed: pip install 'headrace[otel]'.\n")


def test_explain_loads_nothing_heavy() -> None:
    heavy = {
        "openai",
        "redis",
        "aiokafka",
        "tiktoken",
        "aiohttp",
        "prometheus_client",
        "rich",
        "structlog",
    }  # typer loads pydantic
    code = (
        "import sys\nfrom headrace.broker.cli.main import main\ncode = main(['explain', '429 slow_down'])\n"
        f"print(*({heavy!r} & sys.modules.keys()), file=sys.stderr)\nsys.exit(code)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr.split() == []
    assert ended.stdout.startswith("overloaded")


@pytest.mark.parametrize(
    ("given", "out", "err"),
    [
        (b'{"status": 503}', "overloaded  HTTP 503\n", ""),
        (b" \n", "", "Nothing to explain: the input is empty.\n"),
    ],
)
def test_explain_reads_standard_input_and_says_of_an_empty_one_that_it_is(given: bytes, out: str, err: str) -> None:
    command = [sys.executable, "-m", "headrace.broker.cli.main", "explain"]
    ended = subprocess.run(command, input=given, capture_output=True, check=True)
    assert ended.stdout.decode().startswith(out)
    assert ended.stderr.decode() == err


def test_counting_works_where_every_socket_is_forbidden() -> None:
    code = (
        "import socket\n"
        "def forbidden(*a, **k): raise SystemExit('the network was asked')\n"
        "socket.socket = socket.getaddrinfo = socket.create_connection = forbidden\n"
        "from headrace.broker.adapters.tiktoken_counter import TiktokenCounter\n"
        "c = TiktokenCounter()\n"
        "print(c.count('gpt-4o', 'hello world'), c.count('gpt-4', 'hello world'))\n"
    )
    environ = {"TIKTOKEN_CACHE_DIR": "", "PATH": ""}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environ)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "2 2\n", "")


def _loaded(argv: list[str], names: str) -> tuple[set[str], str]:
    """Which of `names` a process has imported after `headrace argv`, and what it printed."""
    code = (
        f"import sys\nfrom headrace.broker.cli.main import main\ncode = main({argv!r})\n"
        f"print(*({set(names.split())!r} & sys.modules.keys()), file=sys.stderr)\nsys.exit(code)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ended.stderr.split()), ended.stdout


def _cpu_s_of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system
