"""`headrace cancel`: takes ids and prints one receipt a line, or with `--wait` one outcome a line."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import KW_ONLY, asdict, dataclass
from typing import Annotated, Any

import typer

from headrace.broker.cli.client import connected
from headrace.broker.cli.options import BootstrapServers, Config, Json, TimeoutS, TopicPrefix, settings_from
from headrace.broker.cli.outcome_line import outcome_line
from headrace.broker.cli.patience import run_verb
from headrace.broker.cli.request_lines import STDIN, opened
from headrace.broker.cli.terminal import json_line, say
from headrace.broker.client import IN_FLIGHT_MAX, CancelReceipt, GenerationClient, check_tenant
from headrace.broker.errors import IdConflict, InvalidRequest, WaitTimedOut
from headrace.schemas.ids import is_valid_id
from headrace.schemas.instants import to_wire
from headrace.schemas.outcome import Failed, Outcome
from headrace.schemas.unreadable import is_unreadable

_OTHERWISE = 1


def cancel(  # noqa: PLR0917  # Typer reads them by name
    ids: Annotated[list[str], typer.Argument(metavar="ID|-", help="Request ids; - reads them from standard input.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the outcomes and show them.")] = False,
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="TENANT", help="Cancel requests of this tenant only.")
    ] = None,
    wait_timeout: Annotated[
        float, typer.Option("--wait-timeout", metavar="SECONDS", min=0.1, help="How long to wait for each outcome.")
    ] = 30,
    as_json: Json = False,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    prefix: TopicPrefix = None,
    timeout: TimeoutS = 30,
) -> None:
    """Cancel requests that are not answered yet; standard output gets one receipt per line, in the order of the ids.

    A request under way fails at once with reason `cancelled`; one that has not arrived fails when it arrives. With
    --wait the exit code is 1 if a request ended otherwise or has no outcome in time. With --tenant another tenant's
    request with the same id is not cancelled.

    Example: headrace cancel lead-8841-email --tenant acme --wait
    """
    settings = settings_from(config, bootstrap_servers, prefix)
    named = _named(ids)
    check_tenant(tenant)

    async def cancelled() -> bool:
        async with connected(settings, timeout) as client:

            async def one(request_id: str) -> tuple[str, bool]:
                if wait:
                    waits = _Waits(tenant, timeout_s=timeout, wait_s=wait_timeout)
                    return await _outcome(client, request_id, waits, as_json=as_json)
                receipt = await client.cancel(request_id, tenant=tenant, timeout_s=timeout)
                return (_receipt_json(receipt) if as_json else _receipt(receipt)), True

            return await _each(named, one)

    if not run_verb(cancelled()):
        raise typer.Exit(_OTHERWISE)


def _named(ids: Sequence[str]) -> list[str]:
    """Collect the ids, without duplicates; all are checked before the first is sent."""
    named: list[str] = []
    for each in ids:
        if each == STDIN:
            with opened(STDIN) as lines:
                named += [line.decode(errors="replace").rstrip("\r\n") for line in lines]
        else:
            named.append(each)
    unique = list(dict.fromkeys(each for each in named if each.strip()))
    for each in unique:
        if not is_valid_id(each):
            raise InvalidRequest(f"{each[:200]!r} is not an id: an id is 1 to 128 printable ASCII characters.")
    return unique


async def _each(ids: Sequence[str], one: Callable[[str], Coroutine[Any, Any, tuple[str, bool]]]) -> bool:
    """Run `one` for every id, several at once, and print the lines in order; False if one of them went wrong."""
    all_well = True
    flying: deque[asyncio.Task[tuple[str, bool]]] = deque()

    async def land() -> None:
        nonlocal all_well
        line, well = await flying[0]
        flying.popleft()
        say(line)
        all_well = all_well and well

    try:
        for request_id in ids:
            flying.append(asyncio.create_task(one(request_id), name=f"cancel {request_id}"))
            if len(flying) >= IN_FLIGHT_MAX:
                await land()
        while flying:
            await land()
    finally:
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)
    return all_well


@dataclass(frozen=True, slots=True)
class _Waits:
    """The tenant of the requests, and the time limits for reaching Kafka and for an outcome."""

    tenant: str | None
    _: KW_ONLY
    timeout_s: float
    wait_s: float


async def _outcome(client: GenerationClient, request_id: str, waits: _Waits, *, as_json: bool) -> tuple[str, bool]:
    """Return the line for a request's outcome, and whether the request was cancelled."""
    try:
        outcome = await client.outcome_of_cancelled(
            request_id, tenant=waits.tenant, timeout_s=waits.wait_s, submit_timeout_s=waits.timeout_s
        )
    except (IdConflict, WaitTimedOut) as reason:
        told = {"id": request_id, "status": "unknown", "message": str(reason)}
        said = json_line(told) if as_json else str(reason)
        return said, False
    cancelled = isinstance(outcome, Failed) and outcome.reason == "cancelled"
    return (outcome_line(outcome) if as_json else _said(outcome)), cancelled


def _said(outcome: Outcome) -> str:
    if not isinstance(outcome, Failed):
        return f"{outcome.id} was completed before it could be cancelled."
    if outcome.reason == "cancelled":
        return f"{outcome.id} was cancelled."
    if is_unreadable(outcome):
        return f"{outcome.id}: {outcome.message}"
    return f"{outcome.id} had already failed ({outcome.reason}): {outcome.message}"


def _receipt(receipt: CancelReceipt) -> str:
    return f"cancel of {receipt.id} sent to {receipt.topic}/{receipt.partition}/{receipt.offset}"


def _receipt_json(receipt: CancelReceipt) -> str:
    return json_line(asdict(receipt) | {"asked_at": to_wire(receipt.asked_at)})
