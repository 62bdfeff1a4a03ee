"""Leads as a CRM exports them: 500 rows in `broker/cli/demo_data/leads.csv`, which also serve as example data.

The rows are invented; their difficulties are real: several languages, quotes, commas and line breaks inside notes,
emoji, one-word notes beside transcripts.
"""

import csv
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

LEADS_FILE: Final = Path(__file__).parents[1] / "demo_data" / "leads.csv"


@dataclass(frozen=True, slots=True)
class Lead:
    """One row. `language` is an ISO 639 code, `urgency` the lane's name: `bulk`, `standard` or `urgent`."""

    lead_id: str
    created_at: str
    company: str
    contact_name: str
    role: str
    industry: str
    country: str
    language: str
    source: str
    urgency: str
    note: str

    @property
    def is_urgent(self) -> bool:
        """Whether the lead is on the urgent lane, where a person waits for the answer."""
        return self.urgency == "urgent"


def read_leads(count: int | None = None, file: Path = LEADS_FILE) -> tuple[Lead, ...]:
    """Read the first `count` rows of `file`, or all of them."""
    names = [field.name for field in fields(Lead)]
    with file.open(encoding="utf-8", newline="") as rows:
        leads = tuple(Lead(**{name: row[name] for name in names}) for row in csv.DictReader(rows))
    return leads if count is None else leads[:count]
