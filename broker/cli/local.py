"""`headrace local`: a real Kafka of one node or three, and a real Valkey, for development, tests and the demo."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from headrace.broker.cli.screen import screen
from headrace.broker.cli.terminal import safe, say, say_json
from headrace.broker.local import detached
from headrace.broker.local.cluster import size_of_data
from headrace.broker.local.errors import LocalServicesError
from headrace.broker.local.foreground import stay
from headrace.broker.local.processes import is_running
from headrace.broker.local.record import PairRecord, read_record
from headrace.broker.local.services import LocalServices

app = typer.Typer(
    no_args_is_help=True,
    help="A real Kafka and Valkey on this machine, from Python packages (extra headrace[local]).",
)

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", file_okay=False, help="Directory in which the data stay; default: temporary data."
    ),
]
Nodes = Annotated[
    int | None,
    typer.Option(
        metavar="1|3",
        help="Kafka nodes: 1, or 3, of which one may fail (half a GB of memory). Default: the number that wrote "
        "the data in --data, else 1.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_UNREACHABLE = 3


@app.command()
def up(
    data: Data = None,
    nodes: Nodes = None,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay in the foreground; Ctrl-C or SIGTERM stops both.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start both, wait until they are ready, and print the settings to use; if they already run, only print these.

    If only a part of them still runs, the rest is started again and keeps its data. The first start on a machine
    downloads Kafka (45 MB). Both keep running after this command, until `local down`.

    Example: headrace local up --nodes 3 --data ./kafka-data
    """
    with _one_sentence(), _fetching() as progress:
        if not foreground:
            record = detached.up(
                data, nodes=nodes, progress=progress, told=lambda said: say(f"headrace: {safe(said)}", err=True)
            )
            _print_settings(record, as_json=as_json, farewell="`headrace local down` stops both.")
            return
        running = detached.status(data)
        if running is not None:
            sentence = f"Both already run in {running.data_dir}: stop them with `headrace local down` first."
            raise LocalServicesError(sentence, exit_code=2)
        if nodes is None:
            nodes = (data and size_of_data(data)) or 1
        services = LocalServices(data, nodes=nodes, progress=progress)
        stay(services, lambda started: _announce(started, as_json=as_json))


@app.command()
def down(data: Data = None, as_json: Json = False) -> None:
    """Stop every local Kafka and Valkey, or those in --data, and list them; data in a directory you named stay.

    Example: headrace local down
    """
    with _one_sentence():
        stopped = detached.down(data)
    if as_json:
        pairs = [asdict(each) for each in stopped]
        say_json({"stopped": bool(stopped), "data_dir": stopped[-1].data_dir if stopped else None, "pairs": pairs})
    elif not stopped:
        say(f"Nothing to stop: no local Kafka and Valkey run{_in(data)}.", wrap=True)
    for each in () if as_json else stopped:
        pids = f"pid {', '.join(map(str, each.pids))}" if each.pids else "no process was left"
        rest = "their data are deleted" if each.thrown_away else "their data stay"
        say(f"Kafka and Valkey in {safe(each.data_dir)} have stopped ({pids}); {rest}.", wrap=True)


@app.command()
def status(data: Data = None, as_json: Json = False) -> None:
    """Show whether both run and answer, and how to reach them; exit code 3 if they do not.

    Example: headrace local status --json
    """
    with _one_sentence():
        record = detached.status(data)
        half = detached.half_dead(data) if record is None else None
    if record is not None:
        _print_settings(record, as_json=as_json, farewell="`headrace local down` stops both.")
        return
    if as_json:
        say_json({"running": False})
    else:
        option = f" --data {safe(str(data))}" if data else ""
        none = f"No local Kafka and Valkey run{_in(data)}: start them with `headrace local up{option}`."
        say(safe(half) if half else none, err=True)
    raise typer.Exit(_UNREACHABLE)


def _in(data: Path | None) -> str:
    """Name the directory in which none run, since a pair may run in another one."""
    return f" in {safe(str(data))}" if data else ""


def _announce(services: LocalServices, *, as_json: bool) -> None:
    record = read_record(services.data_dir)
    if record is not None:
        _print_settings(record, as_json=as_json, farewell="Ctrl-C stops both.")


def _print_settings(record: PairRecord, *, as_json: bool, farewell: str) -> None:
    if as_json:
        say_json(_for_machines(record))
        return
    beside = "".join(f"\n(Another Kafka and Valkey run in {safe(each)}.)" for each in detached.others(record))
    say(
        f"Kafka and Valkey run; their data: {record.data_dir}\n\n"
        f"{_nodes_in_words(record)}"
        f"export HEADRACE_KAFKA__BOOTSTRAP_SERVERS={record.bootstrap_servers}\n"
        f"export HEADRACE_REDIS__URL={record.redis_url}\n\n"
        "or in the settings file:\n\n"
        f'[kafka]\nbootstrap_servers = "{record.bootstrap_servers}"\n\n[redis]\nurl = "{record.redis_url}"\n\n'
        f"{farewell}{beside}"
    )


def _nodes_in_words(record: PairRecord) -> str:
    """Describe each node in a line if there are several; return nothing for a single node."""
    if len(record.kafka_pids) == 1:
        return ""
    lines = [
        f"  Kafka node {node['node_id']}  {node['address']}  "
        + (f"pid {node['pid']}" if node["running"] else "ended; `local up` starts it again")
        for node in _nodes(record)
    ]
    return "\n".join(lines) + "\n\n"


def _nodes(record: PairRecord) -> list[dict[str, Any]]:
    addresses = record.bootstrap_servers.split(",")
    return [
        {
            "node_id": number,
            "address": address,
            "pid": pid,
            "running": number in record.nodes and is_running(record.nodes[number]),
        }
        for number, (address, pid) in enumerate(zip(addresses, record.kafka_pids, strict=True), start=1)
    ]


def _for_machines(record: PairRecord) -> dict[str, Any]:
    return {
        "running": True,
        "kafka": {
            "bootstrap_servers": record.bootstrap_servers,
            "pid": record.kafka_pids[0],
            "nodes": _nodes(record),
        },
        "redis": {"url": record.redis_url, "pid": record.valkey_pid},
        "settings": {
            "HEADRACE_KAFKA__BOOTSTRAP_SERVERS": record.bootstrap_servers,
            "HEADRACE_REDIS__URL": record.redis_url,
        },
        "data_dir": record.data_dir,
        "detached": record.owner_pid is None,
        "others": detached.others(record),
    }


@contextmanager
def _fetching() -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on standard error, which appears with the first jar and vanishes with the last."""
    console = screen(err=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task("fetching Kafka (first start only)", total=None)

    def advance(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)
        if done == 0 and console.is_terminal:
            bar.start()
        elif done == 0:
            say(f"fetching Kafka (first start only): {total} jars", err=True)
        elif done == total and bar.live.is_started:
            bar.stop()

    try:
        yield advance
    finally:
        if bar.live.is_started:
            bar.stop()


@contextmanager
def _one_sentence() -> Iterator[None]:
    try:
        yield
    except LocalServicesError as error:
        say(f"headrace: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
