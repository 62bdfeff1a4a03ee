"""`headrace dead-letters replay`: puts failed requests back on their lanes, at a limited rate, each once."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.cli.dead_letters.account import as_object, ended, interrupted, receipt_object, summary
from headrace.broker.cli.dead_letters.bar import Bar
from headrace.broker.cli.dead_letters.reasons import known_reasons
from headrace.broker.cli.moments import span_or_instant
from headrace.broker.cli.options import BootstrapServers, Config, Json, TimeoutS, TopicPrefix, settings_from
from headrace.broker.cli.patience import closing, kafka_at, reach_kafka, run_verb, within
from headrace.broker.cli.terminal import say, say_json
from headrace.broker.cli.termination import EXIT_CODE as TERMINATED
from headrace.broker.cli.termination import INTERRUPTED
from headrace.broker.clock import WallClock
from headrace.broker.errors import HeadraceError, LogUnavailable, ProducerDead, Unreachable
from headrace.broker.planner.amounts import per_hour
from headrace.broker.service.preflight.acl_check import Needs, check
from headrace.broker.settings.whole import Settings
from headrace.consumers.replays.doors import kafka_doors
from headrace.consumers.replays.job import ReplayRequest, When, group_of, transactional_id_of
from headrace.consumers.replays.replay import Replay, ReplayReceipt, ReplayRules
from headrace.consumers.replays.verdicts import Lane
from headrace.schemas import topics
from headrace.schemas.nearest import there_is_no
from headrace.schemas.topics import BATCH_OVERHEAD_BYTES

_ANSWERS_EVERY_MAX_S: Final = 600.0
_HOUR_S: Final = 3_600


class Interrupted(HeadraceError):  # noqa: N818  # what has happened, not what went wrong
    """A signal came, and the transaction under way was ended."""

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """The options of the verb, apart from what is to be put back."""

    dry: bool
    as_json: bool
    timeout_s: float


def replay(  # noqa: PLR0917  # Typer reads them by name
    reason: Annotated[
        list[str] | None, typer.Option(metavar="REASON", help="Only with this reason; may be repeated.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(metavar="MODEL", help="Only for this model; * matches as in a shell.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(metavar="TENANT", help="Only for this tenant.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Failed since then: a span before now such as 2h, or an instant.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="Failed before then, in the same form.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count: write nothing, and end no other replay.")
    ] = False,
    rate: Annotated[str, typer.Option(metavar="N", help="Requests per second at most; also 90/min or 1200/h.")] = "50",
    deadline: Annotated[
        str | None,
        typer.Option(metavar="SPAN|WHEN", help="New deadline: a span from now, or an instant; default: the lane's."),
    ] = None,
    lane: Annotated[
        str | None, typer.Option(metavar="LANE", help="Put all on this lane; default: the lane each came from.")
    ] = None,
    new_id: Annotated[
        bool, typer.Option("--new-id", help="Also those with reason id_conflict, each under a new id, as run 0.")
    ] = False,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Put back at most this many.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Replay all dead letters if no filter is given.")] = False,
    as_json: Json = False,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    prefix: TopicPrefix = None,
    timeout: TimeoutS = 10,
) -> None:
    """Put dead letters back on their lanes: same id, next run, a new deadline. Completed requests are skipped.

    Filters, lane and --new-id identify a job: after an interruption the same command continues where it stopped and
    puts nothing back twice; once the job is done, it finds only newer dead letters. A span identifies it as written:
    --since 2h is the same job tomorrow, with tomorrow's last two hours; only a pass that was interrupted keeps its own
    two hours, for a day from its begin. One replay runs per prefix: a second one ends the first.

    Example: headrace dead-letters replay --reason exhausted --since 2h --dry-run
    """
    settings = settings_from(config, bootstrap_servers, prefix)
    asked = ReplayRequest(
        reasons=known_reasons(reason),
        models=tuple(model or ()),
        tenant=tenant,
        since=None if since is None else span_or_instant(since),
        until=None if until is None else span_or_instant(until),
        lane=_known_lane(settings, lane),
        new_id=new_id,
    )
    if not (dry_run or yes or reason or model or tenant or since or until):
        raise typer.BadParameter(
            "Without a filter every dead letter would be put back: give --reason, --model, --tenant, --since or "
            "--until, or confirm with --yes; --dry-run only counts"
        )
    rules = ReplayRules(
        topic_prefix=settings.kafka.topic_prefix,
        lanes=_lanes(settings),
        per_s=_per_s(rate),
        limit=limit,
        deadline=None if deadline is None else _deadline(deadline),
        answers_every_s=min(_ANSWERS_EVERY_MAX_S, settings.dedupe.window_s / 2),
    )
    run_verb(_replayed(settings, asked, rules, ReplayOptions(dry_run, as_json, timeout)))


def _known_lane(settings: Settings, lane: str | None) -> str | None:
    if lane is not None and lane not in settings.lanes:
        raise typer.BadParameter(there_is_no("lane", lane, settings.lanes))
    return lane


def _lanes(settings: Settings) -> dict[str, Lane]:
    bytes_max = int(settings.topics.requests.max_message_bytes) - BATCH_OVERHEAD_BYTES
    return {
        name: Lane(deadline=timedelta(seconds=lane.deadline_s), bytes_max=bytes_max)
        for name, lane in settings.lanes.items()
    }


def _per_s(text: str) -> float:
    try:
        rate = per_hour(text if "/" in text else f"{text}/s") / _HOUR_S
    except ValueError:
        rate = 0.0
    if rate <= 0:
        raise typer.BadParameter(f"{text!r} is not a rate: use 50, 90/min or 1200/h")
    return rate


def _deadline(text: str) -> When:
    when = span_or_instant(text)
    if isinstance(when, datetime) and when <= datetime.now(UTC):
        raise typer.BadParameter("The deadline has passed, so all would fail again at once: name a later one")
    return when


async def _replayed(settings: Settings, asked: ReplayRequest, rules: ReplayRules, manner: ReplayOptions) -> None:
    connection = KafkaConnection.of(settings.kafka)
    clock = WallClock(asyncio.get_running_loop().time)
    with Bar(_shown if manner.as_json else None, quiet=manner.as_json) as bar:
        work = Replay(kafka_doors(connection, rules.topic_prefix), asked, rules, clock=clock, watcher=bar)

        async def allowed() -> None:
            await check(connection, _needs(rules, asked))

        try:
            async with closing(work), _signals(work) as told:
                if manner.dry:
                    await reach_kafka(connection, manner.timeout_s)
                else:
                    await within(manner.timeout_s, allowed, place=kafka_at(connection))
                await work.open(dry=manner.dry)
                told.may_cancel = False
                await _run(work, rules.topic_prefix)
        except asyncio.CancelledError:
            if not told.code:
                raise
    if told.code and not work.tally.is_done:
        raise Interrupted(interrupted(work, dry=manner.dry), told.code)
    if manner.as_json:
        say_json(as_object(work, dry=manner.dry))
    else:
        say(summary(work, dry=manner.dry), wrap=True)


async def _run(work: Replay, topic_prefix: str) -> None:
    try:
        await work.run()
    except (ProducerDead, Unreachable, LogUnavailable) as reason:
        raise Unreachable(ended(work, topic_prefix)) from reason


def _needs(rules: ReplayRules, asked: ReplayRequest) -> Needs:
    prefix = rules.topic_prefix
    lanes = rules.lanes if asked.lane is None else (asked.lane,)
    return Needs(
        transactional_id_of(prefix),
        read=(topics.dead_letters_topic(prefix), topics.results_topic(prefix)),
        write=tuple(topics.requests_topic(prefix, lane) for lane in lanes),
        group=group_of(prefix, asked.job(prefix)),
    )


def _shown(receipts: Sequence[ReplayReceipt]) -> None:
    for receipt in receipts:
        say_json(receipt_object(receipt))


@dataclass(slots=True)
class _SignalState:
    """State of the signals: the exit code of one that came. Before anything is written it may cancel what waits."""

    code: int = 0
    may_cancel: bool = True


@asynccontextmanager
async def _signals(work: Replay) -> AsyncIterator[_SignalState]:
    """End the replay at SIGINT or SIGTERM after the transaction under way; a second signal does not wait for it."""
    loop, task, told = asyncio.get_running_loop(), asyncio.current_task(), _SignalState()

    def stop(code: int) -> None:
        work.stop()
        if task is not None and (told.may_cancel or told.code):
            task.cancel()
        told.code = code

    codes = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
    for number, code in codes.items():
        loop.add_signal_handler(number, stop, code)
    try:
        yield told
    finally:
        for number in codes:
            loop.remove_signal_handler(number)
