"""`headrace retrier`: one retry process, either working or standing by."""

from typing import Annotated

import typer

from headrace.broker.cli.options import BootstrapServers, Config, TopicPrefix, settings_from
from headrace.broker.clock import run
from headrace.broker.service.compose import retrier as compose_retrier
from headrace.broker.service.metrics.logs import configure_logging
from headrace.broker.service.preflight.acl_check import retrier_needs
from headrace.broker.service.preflight.preflight import find
from headrace.broker.settings.whole import Settings
from headrace.consumers.retries.retrier import Retrier
from headrace.consumers.retries.retry_budget import RetryBudgetRules
from headrace.consumers.retries.rules import RetrierRules
from headrace.schemas.topics import BATCH_OVERHEAD_BYTES


def retrier(
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    prefix: TopicPrefix = None,
    from_start: Annotated[
        bool,
        typer.Option(
            "--from-start", help="Put back everything that the failures topic holds, though no progress is stored."
        ),
    ] = False,
) -> None:
    """Put parked requests back on their lane when they are due; of two, one stands by.

    Without a retrier, requests that the dispatcher parks stay parked. It needs no OpenAI key and never creates topics.
    On one machine the second needs its own port: HEADRACE_RETRIER__HTTP_PORT=8083. SIGTERM or Ctrl-C stops it.

    Example: headrace retrier --config headrace.toml
    """
    settings = settings_from(config, bootstrap_servers, prefix)
    configure_logging()
    run(_serve(settings, from_start=from_start))


async def _serve(settings: Settings, *, from_start: bool) -> None:
    process = compose_retrier(settings, await find(settings, retrier_needs(settings)))
    rules = RetrierRules(
        topic_prefix=settings.kafka.topic_prefix,
        lanes=sorted(settings.lanes, key=lambda lane: settings.lanes[lane].order),
        dead_letter_bytes_max=int(settings.topics.dead_letters.max_message_bytes) - BATCH_OVERHEAD_BYTES,
        held_bytes_max=int(settings.retrier.held_bytes_max),
        retry_budget=RetryBudgetRules(settings.retrier.fresh_share, settings.retrier.floor_per_s),
        from_start=from_start,
        lane_bytes_max=int(settings.topics.requests.max_message_bytes) - BATCH_OVERHEAD_BYTES,
    )
    await process.run(Retrier(process.doors, rules, process.meter, process.clock, process.spans))
