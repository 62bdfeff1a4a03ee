"""The rows of the CSV are what the demo's story says they are."""

import csv
import re
from collections import Counter

import pytest

from headrace.broker.cli.demo.leads import LEADS_FILE, read_leads

LEADS = read_leads()


def test_there_are_500_leads_and_no_id_twice() -> None:
    assert len(LEADS) == len({lead.lead_id for lead in LEADS}) == 500


def test_the_first_leads_are_the_first_rows() -> None:
    assert read_leads(60) == LEADS[:60]


def test_no_field_is_empty_and_no_row_has_more_fields_than_the_head() -> None:
    with LEADS_FILE.open(encoding="utf-8", newline="") as rows:
        read = list(csv.DictReader(rows))
    assert all(all(row.values()) and None not in row for row in read)


def test_no_company_and_no_person_comes_twice() -> None:
    assert Counter(lead.company for lead in LEADS).most_common(1)[0][1] == 1
    assert Counter(lead.contact_name for lead in LEADS).most_common(1)[0][1] == 1


def test_they_write_many_languages() -> None:
    languages = Counter(lead.language for lead in LEADS)
    assert languages.keys() >= {"en", "de", "fr", "es", "it", "pt", "nl", "pl", "ja"}
    assert all(count >= 8 for count in languages.values())


def test_urgencies_are_lanes() -> None:
    assert {lead.urgency for lead in LEADS} == {"urgent", "standard", "bulk"}


def test_at_least_eight_of_the_first_60_are_urgent_and_most_are_bulk() -> None:
    urgencies = Counter(lead.urgency for lead in LEADS[:60])
    assert urgencies["urgent"] >= 8
    assert urgencies["bulk"] > 30


def test_among_the_first_12_one_is_urgent_too() -> None:
    assert any(lead.is_urgent for lead in LEADS[:12])


@pytest.mark.parametrize("awkward", ["\n", '"', ",", ";", "\t", "'", "ß", "ł", "日|本|の", "[\U0001f300-\U0001faff]"])
def test_the_notes_and_names_hold_what_breaks_naive_readers(awkward: str) -> None:
    assert any(re.search(awkward, lead.note + lead.company) for lead in LEADS[:60])


def test_notes_are_short_and_long() -> None:
    lengths = sorted(len(lead.note) for lead in LEADS)
    assert lengths[25] < 25
    assert lengths[-25] > 350
