"""Leads: their fields, the CSV file they come from, and the request to the model for each."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODEL = "gpt-4o-mini"
_RULES = (
    "You write the first e-mail to a new lead, in the lead's language. Two to four short paragraphs: one observation "
    "about the lead, one benefit, one easy next step. Begin with a subject line of at most eight words."
)


@dataclass(frozen=True, slots=True)
class Lead:
    """One row of the file; `urgent` leads are written to first."""

    id: int
    company: str
    contact: str
    language: str
    note: str
    urgent: bool


class BadLeads(Exception):  # noqa: N818
    """The file cannot be read; the message says where."""


def read_leads(path: Path) -> Iterator[Lead]:
    """Yield the leads of a CSV file with the columns id, company, contact, language, note, urgent.

    Raises:
        BadLeads: A row is not a lead.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                yield Lead(
                    id=int(row["id"]),
                    company=row["company"].strip(),
                    contact=row["contact"].strip(),
                    language=row["language"].strip() or "en",
                    note=(row["note"] or "").strip(),
                    urgent=row["urgent"].strip().lower() in {"1", "true", "yes"},
                )
            except (KeyError, ValueError, AttributeError, TypeError) as reason:
                raise BadLeads(
                    f"{path}, line {number}: this is not a lead ({type(reason).__name__}: {reason})"
                ) from None


def request_id(lead_id: int) -> str:
    """Return the request id, always the same for a lead, so that asking twice costs one call and has one outcome."""
    return f"lead-{lead_id}-first-email"


def lead_of(request: str) -> int | None:
    """Return the lead of a request; None if another service made it."""
    found = re.fullmatch(r"lead-(\d+)-first-email", request)
    return int(found[1]) if found else None


def body_of(lead: Lead) -> dict[str, Any]:
    """Return the JSON body of the call to OpenAI."""
    about = f"Company: {lead.company}\nContact: {lead.contact}\nLanguage: {lead.language}\nNote: {lead.note}"
    return {
        "model": MODEL,
        "messages": [{"role": "system", "content": _RULES}, {"role": "user", "content": about}],
        "max_tokens": 300,
    }
