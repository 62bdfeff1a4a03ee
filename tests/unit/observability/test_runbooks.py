"""Every alert has its page, and every page its alert, in one form."""

import re
from pathlib import Path

import pytest

from headrace.broker.observability.alerts import ALERTS, BY_NAME

FOLDER = Path(__file__).parents[3] / "docs" / "runbooks"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
HEADINGS = ["Look here", "Do this", "When it is over", "What is not affected"]

a_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    assert {page.stem for page in PAGES} == {alert.runbook for alert in ALERTS}


@a_page
def test_a_page_names_its_alerts_and_their_severity(page: Path) -> None:
    said = dict(re.findall(r"^- `(Headrace\w+)`: (page|ticket)", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert said == {alert.name: alert.severity.value for alert in ALERTS if alert.runbook == page.stem}


@a_page
def test_a_page_has_its_parts_and_begins_with_a_command_of_ours(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert re.search(r"^\*\*Meaning\.\*\* ", text, re.MULTILINE)
    [look] = re.findall(r"^## Look here$(.*?)^## ", text, re.DOTALL | re.MULTILINE)
    [command] = re.findall(r"^```sh\n(.*?)\n```$", look, re.DOTALL | re.MULTILINE)
    assert command.startswith("headrace ")
    assert "\n" not in command


def test_the_index_lists_every_alert_with_its_severity_and_page() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \| \[[^\]]+\]\(([\w-]+)\.md\) \|$", (FOLDER / "README.md").read_text(), re.MULTILINE
    )
    assert rows == [(alert.name, alert.severity.value, alert.runbook) for alert in ALERTS]


@a_page
def test_every_alert_that_a_page_names_exists(page: Path) -> None:
    assert set(re.findall(r"\bHeadrace[A-Z]\w+", page.read_text(encoding="utf-8"))) <= BY_NAME.keys()
