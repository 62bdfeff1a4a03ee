"""One wrong usage: what was typed, and how the script ends."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

LIBRARY_WORDS = re.compile(
    r"Traceback|pydantic|aiokafka|aiohttp|httpx|urllib|asyncio|redis-py|redis\.exceptions|\btyper\b|\bclick\b|"
    r"Input should|expected str|type=|Value error|Field required|valid (?:string|number|integer|dictionary|float)|"
    r"Expecting (?:value|property|',')|Extra data|codec can't|[Ee]rrno|Error\(|Exception|NoneType|<class|object at 0x|"
    r"unexpected:|Invalid value|Possible options|extra argument|(?:Key|Value|Type|UnicodeEncode)Error",
)
"""What only a library, or Python itself, would say."""
USAGE = 2
"""The caller's or the operator's mistake."""
AWAY = 3
"""A service is not there."""
NOWHERE = "--bootstrap-servers=127.0.0.1:1"
"""An address at which nothing listens."""


@dataclass(frozen=True, slots=True)
class Row:
    """A wrong usage.

    Attributes:
        typed: The arguments behind `headrace`, as a shell splits them. `{dir}` is a directory of its own, in which the
            script runs.
        said: A regular expression that matches all that was said, standard output before standard error, each line
            without `headrace: ` before it.
        code: The exit code.
        sentences: How many sentences there are: one, or of a file with several mistakes one for each and one more.
        files: Name to content, in that directory.
        environ: Variables besides those of a clean environment.
        stdin: What the script reads there; nothing is a pipe that is empty.
        by_process: Whether it is run as a process of its own, since the process matters.
    """

    typed: str
    said: str
    code: int = USAGE
    sentences: int = 1
    files: Mapping[str, bytes | str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    by_process: bool = False

    def __str__(self) -> str:
        """The name of its test."""
        return self.typed[:80] or "(nothing)"

    @property
    def verb(self) -> str:
        """The verb that was meant; empty if none was."""
        return next((word for word in self.typed.split() if not word.startswith("-")), "")
