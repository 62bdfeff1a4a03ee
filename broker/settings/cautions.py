"""Cautions on what is allowed but doubtful: settings without effect, a missing key, unencrypted secrets and prompts.

One caution names one thing to mend. There is none on settings that suit a first try on one machine: what stays on
loopback is private. An address that a variable has opened causes no caution either; the image, compose.yaml and the
chart open theirs so, where a container's network decides what reaches it.

A caution never stops a start. `config check` prints it, and `docs/settings.md` marks the settings of `WITHOUT_EFFECT`.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from headrace.broker.core.endpoints import ENDPOINT_TABLE
from headrace.broker.settings.lanes import LANE_DEFAULTS
from headrace.broker.settings.load import Loaded
from headrace.broker.settings.mistakes import Mistake
from headrace.broker.settings.origins import DEFAULTS, Path, SettingOrigin, SourceKind, dotted, named
from headrace.broker.settings.secrets import is_quoted
from headrace.broker.settings.urls import HttpUrl, RedisUrl, is_loopback
from headrace.schemas.nearest import nearest

WITHOUT_EFFECT: Final[Mapping[str, str]] = {
    "topics.segment_s": "The ledger's segments last one hour.",
}
"""Group and key of settings that are accepted and do nothing yet, each with what is true instead."""


_PATHS: Final = (*(facts.path for facts in ENDPOINT_TABLE.values()), "/completions", "/models")
"""Ends of a URL that was copied whole; no request is sent to the last two."""


def cautions(loaded: Loaded) -> list[Mistake]:
    """Return every caution, in the order of the settings."""
    checks = (
        _without_effect,
        _in_the_clear,
        _of_what_is_shown,
        _of_the_gateway,
        _of_the_lanes,
        _of_the_models,
        _of_the_costs,
        _of_the_key,
        _of_quotes,
        _of_the_base_url,
    )
    return [caution for check in checks for caution in check(loaded)]


def _without_effect(loaded: Loaded) -> Iterator[Mistake]:
    for path, one in loaded.given.items():
        instead = WITHOUT_EFFECT.get(f"{path[0]}.{path[-1]}")
        if instead is not None:
            yield _caution(f"{dotted(path)} has no effect in this version", path, one.origin, instead.rstrip("."))


def _in_the_clear(loaded: Loaded) -> Iterator[Mistake]:
    """Yield cautions on secrets and prompts that leave this machine unencrypted."""
    kafka, redis = loaded.settings.kafka, RedisUrl.read(loaded.settings.redis.url.get_secret_value())
    hosts = [server.strip().rpartition(":")[0] for server in kafka.bootstrap_servers.split(",")]
    if not kafka.security_protocol.endswith("SSL") and not all(map(is_loopback, hosts)):
        has_login, is_plain = kafka.security_protocol.startswith("SASL"), kafka.sasl_mechanism == "PLAIN"
        crossing = "prompts and answers cross" if not is_plain else "kafka.password, prompts and answers cross"
        said = f"{crossing} the network to Kafka unencrypted"
        instead = f"set kafka.security_protocol to {'SASL_SSL' if has_login else 'SSL or SASL_SSL'}"
        path = ("kafka", "security_protocol" if has_login else "bootstrap_servers")
        yield _caution(said, path, _given_by(loaded, path), instead)
    if redis.scheme == "redis" and redis.has_password and not is_loopback(redis.host or "localhost"):
        path = ("redis", "url")
        said = "the password in redis.url crosses the network unencrypted"
        yield _caution(said, path, _given_by(loaded, path), "begin it with rediss:// if Redis speaks TLS")
    base_url = loaded.settings.openai.base_url
    if base_url is not None and loaded.settings.openai.api_key is not None:
        url, path = HttpUrl.read(base_url), ("openai", "base_url")
        if url.scheme == "http" and not is_loopback(url.host):
            said = f"the OpenAI key, prompts and answers cross the network to {url.host} unencrypted"
            yield _caution(said, path, _given_by(loaded, path), "begin openai.base_url with https://")
    tracing, path = loaded.settings.tracing, ("tracing", "endpoint")
    if tracing.endpoint is not None and (tracing.content or tracing.headers is not None):
        url = HttpUrl.read(tracing.endpoint)
        if url.scheme == "http" and not is_loopback(url.host):
            what = "prompts and answers cross" if tracing.headers is None else "tracing.headers cross"
            said = f"{what} the network to {url.host} unencrypted"
            yield _caution(said, path, _given_by(loaded, path), "begin tracing.endpoint with https://")


def _of_what_is_shown(loaded: Loaded) -> Iterator[Mistake]:
    """Yield cautions on addresses that a file or a flag has opened beyond this machine, with no token to guard them."""
    if loaded.settings.dispatcher.http_token is not None:
        return
    for duty, key in (("dispatcher", "http_host"), ("retrier", "http_host"), ("gateway", "metrics_host")):
        path = (duty, key)
        origin = _given_by(loaded, path)
        host = str(getattr(getattr(loaded.settings, duty), key))
        if not is_loopback(host) and origin.source is not SourceKind.ENVIRONMENT:
            said = f"{duty}.{key} {host!r} shows /status and /metrics, which ask for no password, to other hosts"
            instead = (
                "set dispatcher.http_token, which guards all but /metrics, restrict access by a firewall, or keep "
            )
            yield _caution(said, path, origin, f"{instead}127.0.0.1")


def _of_the_gateway(loaded: Loaded) -> Iterator[Mistake]:
    """Yield a caution on a gateway that a file or a flag has opened beyond this machine: it speaks no TLS."""
    path, gateway = ("gateway", "http_host"), loaded.settings.gateway
    origin = _given_by(loaded, path)
    if gateway.enabled and not is_loopback(gateway.http_host) and origin.source is not SourceKind.ENVIRONMENT:
        said = f"gateway.http_host {gateway.http_host!r} takes keys and prompts from other hosts unencrypted"
        yield _caution(said, path, origin, "end TLS in front of it, or keep 127.0.0.1")


def _of_the_lanes(loaded: Loaded) -> Iterator[Mistake]:
    """Yield cautions on misspelt lanes: each is a new lane, while the one that was meant keeps its defaults."""
    for name in loaded.settings.lanes.keys() - LANE_DEFAULTS.keys():
        near = nearest(name, LANE_DEFAULTS)
        if near is not None and near not in name:  # `bulk-eu` is no misspelt `bulk`
            path = ("lanes", name)
            origin = next((one.origin for key, one in loaded.given.items() if key[:2] == path), DEFAULTS)
            yield _caution(f"lanes.{name} is a new lane", path, origin, f"write {near} if you mean that lane")


def _of_the_models(loaded: Loaded) -> Iterator[Mistake]:
    path = ("models", "allow")
    if "*" in loaded.settings.models.allow:
        said = "models.allow is *, so each producer may ask for the most expensive model of the account"
        yield _caution(
            said, path, _given_by(loaded, path), 'name those that you want to pay for, such as ["gpt-4o-mini*"]'
        )


def _of_the_costs(loaded: Loaded) -> Iterator[Mistake]:
    """Yield cautions on prices that are given and not used."""
    costs = loaded.settings.costs
    for key, value in (("provider", costs.provider), ("prices_file", costs.prices_file)):
        if value is not None and not costs.enabled:
            path = ("costs", key)
            said = f"costs.{key} has no effect while costs.enabled is false"
            yield _caution(said, path, _given_by(loaded, path), "switch costs on, or leave it out")


def _of_the_key(loaded: Loaded) -> Iterator[Mistake]:
    if loaded.settings.openai.api_key is None:
        path = ("openai", "api_key")
        yield Mistake(
            "no OpenAI key is set: a dispatcher does not start without one (OPENAI_API_KEY, or openai.api_key_file); "
            "producers, readers and the retrier need none",
            (path,),
        )


def _of_quotes(loaded: Loaded) -> Iterator[Mistake]:
    kafka = loaded.settings.kafka
    password = None if kafka.password is None else kafka.password.get_secret_value()
    for key, value in (("username", kafka.username), ("password", password)):
        if value is not None and is_quoted(value):
            path = ("kafka", key)
            said = f"kafka.{key} is enclosed in quotation marks"
            yield _caution(said, path, _given_by(loaded, path), "leave them out unless they are part of it")


def _of_the_base_url(loaded: Loaded) -> Iterator[Mistake]:
    """Yield cautions on a path that each call appends anyway, or that is missing at OpenAI itself."""
    base_url, path = loaded.settings.openai.base_url, ("openai", "base_url")
    if base_url is None:
        return
    url = HttpUrl.read(base_url)
    where = url.rest.partition("?")[0].rstrip("/")
    ending = next((each for each in _PATHS if where.endswith(each)), None)
    if ending is not None:
        said = f"openai.base_url ends in {ending}, which each call appends"
        yield _caution(said, path, _given_by(loaded, path), "end it before that, usually in /v1")
    elif url.host == "api.openai.com" and not where:
        said = "openai.base_url has no path, and OpenAI's own is /v1"
        yield _caution(said, path, _given_by(loaded, path), "write https://api.openai.com/v1, or leave it out")


def _given_by(loaded: Loaded, path: Path) -> SettingOrigin:
    one = loaded.given.get(path)
    return DEFAULTS if one is None else one.origin


def _caution(said: str, path: Path, origin: SettingOrigin, instead: str = "") -> Mistake:
    origins = () if origin.source is SourceKind.DEFAULT else (origin,)
    sentence = f"{said}{named(origins)}"
    return Mistake(f"{sentence}: {instead[0].lower()}{instead[1:]}" if instead else sentence, (path,), origins)
