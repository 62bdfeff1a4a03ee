"""Runbooks as an operator reads them: the first command of each page."""

import re
from pathlib import Path

from headrace.broker.observability.alerts import BY_NAME
from tests.rules.machine import ROOT

FOLDER = ROOT / "docs" / "runbooks"


def page_of(alert: str) -> Path:
    """The page of an alert."""
    return FOLDER / f"{BY_NAME[alert].runbook}.md"


def first_command(alert: str) -> str:
    """The first command of its page, as it is written there."""
    found = re.search(r"^```sh\n(.*?)^```$", page_of(alert).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert found is not None, f"{page_of(alert)} has no command"
    return found[1].strip()
