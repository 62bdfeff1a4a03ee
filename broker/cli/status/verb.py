"""`headrace status`: one look, for a person at 3 a.m. or for a script."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from headrace.broker.cli.options import BootstrapServers, Config, Json, TimeoutS, TopicPrefix, settings_from
from headrace.broker.cli.patience import run_verb
from headrace.broker.cli.screen import screen
from headrace.broker.cli.status.one_request import where_is
from headrace.broker.cli.status.page import page
from headrace.broker.cli.status.sources import OWN_TIMEOUT_S, NothingListens, look_at_url, look_in_redis, own_url
from headrace.broker.cli.terminal import say, say_json
from headrace.broker.errors import InvalidRequest, Unreachable
from headrace.broker.service.status.findings import StatusFinding, findings
from headrace.broker.service.status.reading import Report, StatusReading
from headrace.broker.service.status.request_sentences import lines
from headrace.broker.settings.whole import Settings
from headrace.schemas.ids import is_valid_id
from headrace.schemas.request_codec import RUN_MAX

_SOMETHING_IS_WRONG = _NOT_KNOWN = 1
_UNKNOWN_STATES = frozenset({"unknown", "elsewhere"})
_WIDTH_UNWATCHED = 160


def status(  # noqa: PLR0917  # Typer reads them by name
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="Ask this dispatcher, such as http://host:8080.")
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            metavar="ID",
            help="Kafka's cluster id, if several clusters share a Redis and Kafka is unavailable.",
        ),
    ] = None,
    request_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Ask the leader why this request waits.")
    ] = None,
    run: Annotated[
        int | None,
        typer.Option("--run", metavar="N", min=0, max=RUN_MAX, help="Run of that request; default: the last."),
    ] = None,
    as_json: Json = False,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    prefix: TopicPrefix = None,
    timeout: TimeoutS = 5,
) -> None:
    """Show the leader, problems, the backlog and what is left of each limit; exit 1 if there is a problem.

    The leader writes its status to Redis every second, so this works while Kafka is unavailable. If Redis is
    unavailable, the dispatcher on this machine is asked, at dispatcher.http_port; --url asks any dispatcher, leader or
    standby. An exhausted quota is reported but is not a problem: the exit code stays 0.

    With --id: where that request is, what is before it, what it waits for and about when it will be called. Only the
    leader knows this, so the leader is asked; exit 1 if it does not know the request.

    Example: headrace status --url http://dispatcher-0:8080 --json

    Example: headrace status --id lead-8841-email
    """
    settings = settings_from(config, bootstrap_servers, prefix)
    if request_id is not None:
        if not is_valid_id(request_id):
            raise InvalidRequest(f"{request_id[:200]!r} is not an id: an id is 1 to 128 printable ASCII characters.")
        told = run_verb(where_is(settings, request_id, run, url=url, cluster=cluster, timeout_s=timeout))
        if as_json:
            say_json(told)
        else:
            say("\n".join(lines(told)), wrap=True)
        raise typer.Exit(_NOT_KNOWN if told["state"] in _UNKNOWN_STATES else 0)
    if run is not None:
        raise InvalidRequest("--run needs --id: name the request.")
    look = run_verb(_look(settings, url=url, cluster=cluster, timeout_s=timeout))
    found = findings(look)
    if as_json:
        say_json(as_object(look, found))
    else:
        console = screen(width_unwatched=_WIDTH_UNWATCHED)
        console.print(page(look, found, datetime.now(UTC), width=console.width))
    if any(finding.grave for finding in found):
        raise typer.Exit(_SOMETHING_IS_WRONG)


async def _look(settings: Settings, *, url: str | None, cluster: str | None, timeout_s: float) -> StatusReading:
    if url is not None:
        return await look_at_url(settings, url, timeout_s=timeout_s)
    try:
        return await look_in_redis(settings, cluster=cluster, timeout_s=timeout_s)
    except Unreachable as reason:
        return await _here(settings, reason)


async def _here(settings: Settings, reason: Unreachable) -> StatusReading:
    """Ask on this machine, which may be a dispatcher's, since Redis is away."""
    own = own_url(settings)
    try:
        look = await look_at_url(settings, own, timeout_s=OWN_TIMEOUT_S)
    except Unreachable as silence:
        if isinstance(reason, NothingListens) and isinstance(silence, NothingListens):
            raise NothingListens(
                f"No Headrace runs here. {reason} No dispatcher listens at {own} either. To try it on this machine: "
                "`headrace local up`, then `headrace topics create` and `headrace dispatcher`. If it runs "
                "elsewhere, set redis.url, or name a dispatcher with --url http://HOST:PORT."
            ) from reason
        look = None
    if look is None or look.prefix != settings.kafka.topic_prefix:
        raise Unreachable(f"{reason} Ask a dispatcher directly: --url http://HOST:PORT.") from reason
    return StatusReading(
        look.prefix, look.dispatcher, remarks=(f"{reason} So the dispatcher on this machine was asked.",)
    )


def as_object(look: StatusReading, found: Sequence[StatusFinding]) -> dict[str, Any]:
    """Return the status as `/status` gives it, and beside it its source, its age and its meaning.

    What was counted by slots of the last fifteen minutes (`lately`) is for the page, and left out.
    """
    return {
        **(_beside(look.dispatcher)),
        "retrier": None if look.retrier is None else _beside(look.retrier),
        "findings": [asdict(finding) for finding in found],
        "remarks": list(look.remarks),
    }


def _beside(report: Report) -> dict[str, Any]:
    return {
        **{key: value for key, value in (report.said or {}).items() if key != "lately"},
        "source": {"kind": report.kind, "place": report.place},
        "age_s": report.age_s,
        "holder": report.holder,
        "standbys": report.standbys,
    }
