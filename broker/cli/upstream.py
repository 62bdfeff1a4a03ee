"""`headrace upstream`: the simulated OpenAI over HTTP, for demos, benchmarks and tests of a client."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from headrace.broker.cli.terminal import say, say_json
from headrace.broker.service.signals import leaving
from headrace.broker.simulator.behaviours.bounds import Behaviour
from headrace.broker.simulator.behaviours.catalogue import check_drawn, played_by, server_among, spelled
from headrace.broker.simulator.behaviours.file import behaviours_in
from headrace.broker.simulator.pricing import ChatLaw
from headrace.broker.simulator.upstream import Stats, Upstream, UpstreamSettings
from headrace.schemas.nearest import ended

_USAGE = 2
_TOKENS = 200_000
_REQUESTS = 500
_SEED = 7


def upstream(
    *,
    host: Annotated[str, typer.Option(metavar="HOST", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65_535, help="The port; 0 takes a free one.")] = 8089,
    tokens_per_minute: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="The token limit of every model; default: 200000, or what random:SEED draws."
        ),
    ] = None,
    requests_per_minute: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="The request limit of every model; default: 500, or what random:SEED draws."
        ),
    ] = None,
    requests_per_day: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Add a daily request limit; headers then show it.")
    ] = None,
    law: Annotated[
        ChatLaw | None,
        typer.Option(
            metavar="|".join(ChatLaw), help=f"Law by which Chat Completions are charged; default: {ChatLaw.CHAT_2025}."
        ),
    ] = None,
    burst_s: Annotated[
        float | None,
        typer.Option("--burst-s", metavar="SECONDS", help="Add a hidden bucket that holds this many seconds of quota."),
    ] = None,
    latency: Annotated[
        str | None, typer.Option(metavar="S|S-S", help="Seconds that an answer takes: 0.2 or 1-4; default: 1-4.")
    ] = None,
    error_rate: Annotated[
        float,
        typer.Option(metavar="SHARE", min=0.0, max=1.0, help="Share of admitted calls that end in 500, 502 or 503."),
    ] = 0.0,
    long_429_rate: Annotated[
        float,
        typer.Option(
            "--long-429-rate",
            metavar="SHARE",
            min=0.0,
            max=1.0,
            help="Share of calls that a project's daily limit refuses, unpaid.",
        ),
    ] = 0.0,
    long_429_s: Annotated[
        float,
        typer.Option(
            "--long-429-s",
            metavar="SECONDS",
            help="Wait in seconds that those refusals state; a limit per day may round up.",
        ),
    ] = 90.0,
    stream_cut_rate: Annotated[
        float,
        typer.Option(
            metavar="SHARE", min=0.0, max=1.0, help="Share of streams whose connection is cut after some deltas."
        ),
    ] = 0.0,
    stream_error_rate: Annotated[
        float, typer.Option(metavar="SHARE", min=0.0, max=1.0, help="Share of streams that end in an error event.")
    ] = 0.0,
    declined_rate: Annotated[
        float,
        typer.Option(metavar="SHARE", min=0.0, max=1.0, help="Share of contents that the model declines to answer."),
    ] = 0.0,
    behaviour: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:FIELD=VALUE,…]",
            help="Play this behaviour; may be repeated. random:SEED is a whole server, drawn by that seed.",
        ),
    ] = None,
    behaviours: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Play the [[behaviour]] tables of a TOML file as well.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", help="Seed of answers, latencies and failures; default: 7, or that of random:SEED."),
    ] = None,
    models: Annotated[str, typer.Option(metavar="M,M", help="Serve only these models; default: all.")] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object at the start and one at the end.")
    ] = False,
) -> None:
    """Serve a simulated OpenAI that limits, charges, answers and streams as recordings show of the real one.

    Which calls fail depends on the seed, the request and its id, and is drawn again for each attempt.

    GET /stats reports calls, admissions and charges (?ids=1: for each request id too); POST /reset starts over.
    Ctrl-C or SIGTERM stops it.

    Example: headrace upstream --tokens-per-minute 30000 --requests-per-minute 500 --latency 1-4

    Example: headrace upstream --error-rate 0.1 --long-429-rate 0.05 --long-429-s 90 --stream-cut-rate 0.02

    Example: headrace upstream --behaviour quantised-1s --behaviour foreign:share=0.2,burst=0.02

    Example: headrace upstream --behaviour random:17
    """
    try:
        named = behaviour or []
        drawn = server_among(named)
        check_drawn(drawn, law, latency)
        settings = UpstreamSettings(
            tokens_per_minute=tokens_per_minute or (_TOKENS if drawn is None else drawn.tokens_per_minute),
            requests_per_minute=requests_per_minute or (_REQUESTS if drawn is None else drawn.requests_per_minute),
            requests_per_day=requests_per_day,
            law=law or ChatLaw.CHAT_2025,
            latency_s=_latency_s("1-4" if latency is None else latency),
            error_rate=error_rate,
            long_429_rate=long_429_rate,
            long_429_s=long_429_s,
            stream_cut_rate=stream_cut_rate,
            stream_error_rate=stream_error_rate,
            declined_rate=declined_rate,
            burst_s=burst_s,
            behaviours=_behaviours(named, behaviours),
            seed=seed if seed is not None else _SEED if drawn is None else drawn.seed,
            models=tuple(name.strip() for name in models.split(",") if name.strip()),
            host=host,
            port=port,
        )
    except ValueError as error:
        _give_up(ended(f"These options are not valid: {error}"))
    try:
        stats = asyncio.run(_serve(settings, lambda server: _announce(server, settings, as_json=as_json)))
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else "no such address"
        _give_up(f"Cannot listen on {host}:{port} ({why}): choose another --port or --host.")
    _say_goodbye(stats, as_json=as_json)


async def _serve(settings: UpstreamSettings, announce: Callable[[Upstream], None]) -> Stats:
    stopped = asyncio.Event()
    with leaving(stopped.set):
        async with Upstream(settings) as server:
            announce(server)
            await stopped.wait()
        return server.books()


def _announce(server: Upstream, settings: UpstreamSettings, *, as_json: bool) -> None:
    if as_json:
        say_json(
            {
                "base_url": server.base_url,
                "stats_url": f"{server.root_url}/stats",
                "tokens_per_minute": settings.tokens_per_minute,
                "requests_per_minute": settings.requests_per_minute,
                "seed": settings.seed,
                "behaviours": [spelled(each) for each in settings.behaviours],
            }
        )
        return
    shortest, longest = settings.latency_s
    played = "".join(f"    {spelled(behaviour)}\n" for behaviour in settings.behaviours)
    above_all = f"  unless overridden by:\n{played}" if played else ""
    say(
        f"A simulated OpenAI serves at {server.base_url}\n  {settings.tokens_per_minute:,} tokens and "
        f"{settings.requests_per_minute:,} requests per minute and model,\n  charged by {settings.law}, answers "
        f"after {shortest:g} to {longest:g} s\n{above_all}\nexport OPENAI_BASE_URL={server.base_url} "
        f"OPENAI_API_KEY=anything\n\nCounters: {server.root_url}/stats. Ctrl-C stops it."
    )


def _say_goodbye(stats: Stats, *, as_json: bool) -> None:
    if as_json:
        say_json(stats.as_json())
        return
    told = stats.streams
    streams = f", {told.started:,} streams ({told.cut:,} cut, {told.errored:,} failed)" if told.started else ""
    share = "" if stats.share is None else f", {stats.share:.1%} of the limit's capacity"
    say(
        f"Stopped: {stats.calls:,} calls, {stats.admitted:,} admitted, {stats.completed:,} answered, "
        f"{stats.throttled:,} throttled (429), {stats.server_errors:,} server errors{streams}; "
        f"{stats.charged_tokens:,} tokens charged{share}."
    )


def _behaviours(named: list[str], file: Path | None) -> tuple[Behaviour, ...]:
    """Return the behaviours, those of the file first: of two that contradict each other the last wins."""
    if file is None:
        return played_by(named)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror or error})") from error
    return (*behaviours_in(text), *played_by(named))


def _latency_s(text: str) -> tuple[float, float]:
    shortest, _, longest = text.partition("-")
    try:
        return float(shortest), float(longest or shortest)
    except ValueError:
        raise ValueError(f"--latency is a number of seconds or a range such as 1-4, not {text!r}") from None


def _give_up(sentence: str) -> NoReturn:
    say(sentence, err=True)
    raise typer.Exit(_USAGE)
