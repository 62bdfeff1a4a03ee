import pytest

from benchmarks.advice import story
from headrace.broker.spending.advice.finding import Waste

SHOWN = [
    ("first-touch", Waste.DUPLICATES),
    ("summary", Waste.CUT_OFF),
    ("summary", Waste.REPEATED_PART),
    ("first-touch", Waste.CHEAPER_MODEL),
    ("qualify", Waste.CHEAPER_MODEL),
    ("qualify", Waste.CONSTANT_PART),
    ("summary", Waste.CHEAPER_MODEL),
]
"""What docs/advice.md shows, in its order."""


@pytest.mark.slow
def test_an_hour_of_the_story_has_the_advice_that_its_page_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(story, "HOURS", 1)
    assert [(each.template, each.kind) for each in story.tell(7)] == SHOWN
    printed = capsys.readouterr().out
    mean = next(line.split() for line in printed.splitlines() if line.startswith("first-touch"))
    assert any(300 <= int(figure) <= 500 for figure in mean[1:] if figure.isdigit())
