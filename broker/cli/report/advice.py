"""What would use fewer tokens: findings from the outcomes of a report and from the requests that lanes still hold.

The advisor is handed each outcome that is counted, then each request, and says at the end what it found. Prompts stay
in its memory; parts of them are printed only with `--show-prompts`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from rich.text import Text

from headrace.broker.adapters.tiktoken_counter import TiktokenCounter
from headrace.broker.amounts import counted
from headrace.broker.cli.report.amounts import spoken_tokens, spoken_usd
from headrace.broker.cli.report.pricing import prices_from
from headrace.broker.cli.screen import screen, show_beside
from headrace.broker.cli.terminal import say
from headrace.broker.settings.whole import Settings
from headrace.broker.spending.advice.advisor import Advisor
from headrace.broker.spending.advice.finding import AdviceFinding, SavingEffect
from headrace.broker.spending.question import ReportPeriod
from headrace.broker.spending.tally import TallyNotes
from headrace.schemas.money import PICO_PER_MICRO
from headrace.schemas.outcome import Cost, Usage

_DAY: Final = timedelta(days=1)
_INDENT: Final = "   "


@dataclass(frozen=True, slots=True)
class Advice:
    """An advisor, and whether what it finds may quote prompts."""

    advisor: Advisor
    shows_prompts: bool = False

    def found(self, notes: TallyNotes, period: ReportPeriod, requests: int) -> "AdviceGiven":
        """Return the findings.

        A day is the mean of the period, or of the part of it in which the topic of outcomes existed.
        """
        days = (min(period.until, datetime.now(UTC)) - (notes.begins_at or period.since)) / _DAY
        found = self.advisor.findings(days=days, show_prompts=self.shows_prompts)
        return AdviceGiven(found, requests, self.advisor.left_out)


@dataclass(frozen=True, slots=True)
class AdviceGiven:
    """Findings, the number of requests that were read for them, and of outcomes at which none of them looked."""

    findings: Sequence[AdviceFinding]
    requests: int
    left_out: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the fields that a report as JSON has for it."""
        return {
            "advice": [one.as_json() for one in self.findings],
            "advice_requests": self.requests,
            "advice_left_out": self.left_out,
        }


def advice_from(settings: Settings, prices_file: Path | None, *, shows_prompts: bool) -> Advice:
    """Return an advisor with the prices of the report.

    Raises:
        SettingsError: The price file cannot be read, or has mistakes.
    """
    prices, now = prices_from(settings, prices_file), datetime.now(UTC)

    def price(model: str, tier: str, usage: Usage) -> Cost | None:
        return None if prices is None else prices.cost(model, usage, tier=tier, at=now)

    deadlines_s = {name: float(lane.deadline_s) for name, lane in settings.lanes.items()}
    advisor = Advisor(
        price=None if prices is None else price, count=TiktokenCounter().count, lane_deadlines_s=deadlines_s
    )
    return Advice(advisor, shows_prompts)


def show_advice(given: AdviceGiven) -> None:
    """Print the findings, each as a sentence with its evidence, and what to do below it."""
    _show(given.findings)
    if not given.requests:
        say()
        say(
            "Prompts were not looked at: the lanes of these settings hold no request of these outcomes any more, or "
            "other lanes do, which --config FILE names.",
            wrap=True,
        )
    if given.left_out:
        say()
        say(
            f"Not looked at: {counted(given.left_out, 'outcome')} of the smallest templates and models, for which "
            "there is no memory. Name them with --template or --model to look at them alone.",
            wrap=True,
        )


def _show(found: Sequence[AdviceFinding]) -> None:
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


def _lines(found: AdviceFinding) -> Iterator[str]:
    yield found.what
    yield f"{_subject(found)}: {_amounts(found)}."
    yield found.how
    if found.evidence:
        yield f"Evidence: {_told(found.evidence)}."
    yield from (f"» {excerpt}" for excerpt in found.excerpts)


def _subject(found: AdviceFinding) -> str:
    named = [_template(found), found.model]
    return ", ".join([*named, *([f"lane {found.lane}"] if found.lane else [])])


def _template(found: AdviceFinding) -> str:
    if found.template is not None:
        return f"template {found.template}"
    return f"instructions {found.instructions}" if found.instructions else "no template"


def _amounts(found: AdviceFinding) -> str:
    tokens = f"{spoken_tokens(found.tokens_a_day)} tokens a day {_EFFECTS[found.effect]}"
    if not found.micro_usd_a_day:
        return tokens
    money = f"{spoken_usd(found.micro_usd_a_day * PICO_PER_MICRO)} a day"
    return f"{tokens}, {money}" if found.is_question else f"{tokens}, {money} less"


_EFFECTS: Final[Mapping[SavingEffect, str]] = {
    SavingEffect.SAVED: "would not be used",
    SavingEffect.CACHED: "would be billed as cached input",
    SavingEffect.QUOTA: "would no longer be charged to the rate limit",
    SavingEffect.IN_VAIN: "are paid for answers of no use, or of less",
    SavingEffect.CHEAPER: "would be billed at a lower price",
    SavingEffect.AT_STAKE: "are at stake",
}


def _told(evidence: Mapping[str, int | float | str]) -> str:
    said: Callable[[object], str] = lambda value: f"{value:,}" if isinstance(value, int) else f"{value}"  # noqa: E731
    return ", ".join(f"{name.replace('_', ' ')} {said(value)}" for name, value in evidence.items())
