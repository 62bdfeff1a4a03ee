"""`headrace dispatcher`: one dispatcher process, either the leader or a warm standby."""

import asyncio
from typing import Annotated

import typer

from headrace.broker.cli.options import BootstrapServers, Config, TopicPrefix, settings_from
from headrace.broker.clock import run
from headrace.broker.price_ports import PriceList
from headrace.broker.service.compose import dispatcher as compose_dispatcher
from headrace.broker.service.compose import openai_access, prices, token_counter
from headrace.broker.service.gc_tuning import collect_rarely, give_back, trimming
from headrace.broker.service.metrics.logs import configure_logging
from headrace.broker.service.preflight.acl_check import dispatcher_needs
from headrace.broker.service.preflight.preflight import find
from headrace.broker.settings.whole import Settings
from headrace.broker.tasks import ended
from headrace.schemas.nearest import there_is_no


def dispatcher(
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    prefix: TopicPrefix = None,
    from_start: Annotated[
        list[str] | None,
        typer.Option(
            "--from-start", metavar="LANE", help="Take all records of this lane, though no progress is stored."
        ),
    ] = None,
) -> None:
    """Call OpenAI for the requests on the lanes, at the rate that the limits allow; of two, one stands by.

    It never creates topics (`headrace topics create` does). On one machine the second needs its own port:
    HEADRACE_DISPATCHER__HTTP_PORT=8082. SIGTERM or Ctrl-C stops it after a drain; a second signal shortens the drain.

    Example: OPENAI_API_KEY=… headrace dispatcher --config headrace.toml
    """
    settings = settings_from(config, bootstrap_servers, prefix)
    for lane in from_start or ():
        if lane not in settings.lanes:
            raise typer.BadParameter(there_is_no("lane", lane, settings.lanes))
    openai_access(settings)
    priced_by = prices(settings)
    configure_logging()
    run(_serve(settings, priced_by, frozenset(from_start or ())))


async def _serve(settings: Settings, priced_by: PriceList | None, from_start: frozenset[str]) -> None:
    found = await find(settings, dispatcher_needs(settings))
    counter = await asyncio.to_thread(token_counter, settings)
    process = compose_dispatcher(settings, found, counter, priced_by=priced_by, from_start=from_start)
    collect_rarely()
    giving_back = asyncio.create_task(give_back(trimming()), name="memory")
    try:
        await process.run()
    finally:
        await ended(giving_back)
