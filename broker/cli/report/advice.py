"""What would use fewer tokens: findings from the outcomes of a report and from the requests that lanes still hold.

The advisor is handed each outcome that is counted, then each request, and says at the end what it found. Prompts stay
in its memory; parts of them are printed only with `--show-prompts`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Final, Protocol

from rich.text import Text

from headrace.broker.adapters.tiktoken_counter import TiktokenCounter
from headrace.broker.amounts import counted
from headrace.broker.cli.report.amounts import spoken_tokens, spoken_usd
from headrace.broker.cli.report.pricing import prices_from
from headrace.broker.cli.screen import screen, show_beside
from headrace.broker.cli.terminal import say
from headrace.broker.errors import SettingsError
from headrace.broker.settings.whole import Settings
from headrace.schemas.outcome import Cost, Usage
from headrace.schemas.request_codec import DecodedRequest
from headrace.schemas.spending import SpentOutcome

_ADVISOR: Final = "headrace.broker.spending.advice.advisor"
_INDENT: Final = "   "
_PICO_PER_MICRO: Final = 1_000_000


class Advising(Protocol):
    """The part of an advisor that is needed here."""

    def outcome(self, outcome: Any) -> None:
        """Take an outcome into account."""

    def wants(self, request_id: str) -> bool:
        """Return whether a request of this id is of use; the others need not be decoded."""

    def request(self, decoded: DecodedRequest, lane: str = "") -> None:
        """Take a request into account."""

    def findings(self, *, show_prompts: bool = False) -> Sequence[Any]:
        """Return what was found, the largest saving first and questions last."""


@dataclass(frozen=True, slots=True)
class Advice:
    """An advisor, and the fields of an outcome that it reads."""

    advisor: Advising
    fields: type[SpentOutcome]
    shows_prompts: bool = False

    def found(self) -> Sequence[Any]:
        """Return the findings."""
        return self.advisor.findings(show_prompts=self.shows_prompts)


def advice_from(settings: Settings, prices_file: Any, *, shows_prompts: bool) -> Advice:
    """Return an advisor with the prices of the report.

    Raises:
        SettingsError: The price file cannot be read, or has mistakes.
    """
    try:
        door = import_module(_ADVISOR)
    except ModuleNotFoundError as error:
        raise SettingsError("--advice is not part of this installation.") from error
    prices, now = prices_from(settings, prices_file), datetime.now(UTC)

    def price(model: str, tier: str, usage: Usage) -> Cost | None:
        return None if prices is None else prices.cost(model, usage, tier=tier, at=now)

    deadlines_s = {name: float(lane.deadline_s) for name, lane in settings.lanes.items()}
    advisor = door.Advisor(
        price=None if prices is None else price, count=TiktokenCounter().count, lane_deadlines_s=deadlines_s
    )
    return Advice(advisor, door.AdvisedOutcome, shows_prompts)


def show_findings(found: Sequence[Any]) -> None:
    """Print the findings, each as a sentence with its evidence, and what to do below it."""
    say()
    if not found:
        say("Nothing was found that would clearly use fewer tokens.")
        return
    say(f"{counted(len(found), 'finding')} on what would use fewer tokens:")
    shown_on = screen()
    for number, each in enumerate(found, 1):
        say()
        for line in _lines(each):
            label = f"{number:>2} " if line == each.what else _INDENT
            show_beside(shown_on, Text(label, "bold"), line)


def _lines(found: Any) -> Iterator[str]:
    yield found.what
    yield f"{_subject(found)}: {_amounts(found)}."
    yield found.how
    if found.evidence:
        yield f"Evidence: {_told(found.evidence)}."
    yield from (f"» {excerpt}" for excerpt in found.excerpts)


def _subject(found: Any) -> str:
    named = [_template(found), found.model]
    return ", ".join([*named, *([f"lane {found.lane}"] if found.lane else [])])


def _template(found: Any) -> str:
    if found.template is not None:
        return f"template {found.template}"
    return f"instructions {found.instructions}" if found.instructions else "no template"


def _amounts(found: Any) -> str:
    tokens = f"{spoken_tokens(found.tokens_a_day)} tokens a day {_EFFECTS.get(str(found.effect), found.effect)}"
    if not found.micro_usd_a_day:
        return tokens
    money = f"{spoken_usd(found.micro_usd_a_day * _PICO_PER_MICRO)} a day"
    return f"{tokens}, {money}" if found.is_question else f"{tokens}, {money} less"


_EFFECTS: Final[Mapping[str, str]] = {
    "saved": "would not be used",
    "cached": "would be billed as cached input",
    "quota": "would no longer be charged to the rate limit",
    "in_vain": "are paid for answers of no use, or of less",
    "cheaper": "would be billed at a lower price",
    "at_stake": "are at stake",
}


def _told(evidence: Mapping[str, int | float | str]) -> str:
    said: Callable[[object], str] = lambda value: f"{value:,}" if isinstance(value, int) else f"{value}"  # noqa: E731
    return ", ".join(f"{name.replace('_', ' ')} {said(value)}" for name, value in evidence.items())
