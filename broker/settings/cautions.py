"""What is allowed and yet deserves a word: settings without effect, a missing key, a password in the clear.

A caution never stops a start. `config check` says it, and `docs/settings.md` marks the settings of `WITHOUT_EFFECT`.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from broker.settings.load import Loaded
from broker.settings.mistakes import Mistake
from broker.settings.origins import Origin, Path, dotted, named

WITHOUT_EFFECT: Final[Mapping[str, str]] = {
    "topics.segment_s": "The ledger's segments are an hour long.",
}
"""Group and key of what is accepted and does nothing yet, each with what is true instead."""


def cautions(loaded: Loaded) -> list[Mistake]:
    """Every caution, in the order of the settings."""
    return [*_without_effect(loaded), *_of_the_connection(loaded), *_of_the_key(loaded)]


def _without_effect(loaded: Loaded) -> Iterator[Mistake]:
    for path, one in loaded.given.items():
        instead = WITHOUT_EFFECT.get(f"{path[0]}.{path[-1]}")
        if instead is not None:
            yield _caution(f"{dotted(path)} has no effect in this version", path, one.origin, instead.rstrip("."))


def _of_the_connection(loaded: Loaded) -> Iterator[Mistake]:
    kafka = loaded.settings.kafka
    if kafka.ca_file is not None and not kafka.security_protocol.endswith("SSL"):
        path = ("kafka", "ca_file")
        said = f"kafka.ca_file has no effect while kafka.security_protocol is {kafka.security_protocol}"
        yield _caution(said, path, loaded.given[path].origin)
    if kafka.security_protocol == "SASL_PLAINTEXT" and kafka.sasl_mechanism == "PLAIN":
        path = ("kafka", "sasl_mechanism")
        said = "kafka.password crosses the network in the clear: set kafka.security_protocol to SASL_SSL"
        yield _caution(said, path, loaded.given[path].origin)


def _of_the_key(loaded: Loaded) -> Iterator[Mistake]:
    if loaded.settings.openai.api_key is None:
        path = ("openai", "api_key")
        yield Mistake(
            "no OpenAI key is set: a dispatcher does not start without one (OPENAI_API_KEY, or openai.api_key_file); "
            "producers, readers and the retrier need none",
            (path,),
        )


def _caution(said: str, path: Path, origin: Origin, instead: str = "") -> Mistake:
    sentence = f"{said}{named([origin])}"
    return Mistake(f"{sentence}: {instead[0].lower()}{instead[1:]}" if instead else sentence, (path,), (origin,))
