"""What a lead becomes, and what OpenAI would charge for it."""

import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.cli.demo.leads import Lead, read_leads
from headrace.broker.cli.demo.prompt import ANSWER_TOKENS_MAX, TEMPLATE, body_for, metadata_for, request_id
from headrace.broker.client import submission
from headrace.broker.simulator.filler_text import write_email
from headrace.broker.simulator.pricing import ChatLaw, Endpoint, charge_of, text_of
from tests.unit.cli.demo.leads_of import lead

EXAMPLES = Path(__file__).parents[4] / "examples" / "leads.jsonl"
CHARGES = [charge_of(Endpoint.CHAT, body_for(each), ChatLaw.CHAT_2025) for each in read_leads()]


def test_60_leads_cost_400_tokens_each_on_average_and_2_4_buckets_together() -> None:
    assert statistics.mean(CHARGES[:60]) == pytest.approx(400, abs=4)
    assert sum(CHARGES[:60]) == pytest.approx(24_000, abs=240)


def test_all_500_cost_much_the_same() -> None:
    assert statistics.mean(CHARGES) == pytest.approx(400, abs=6)


def test_no_lead_costs_less_than_300_or_more_than_500() -> None:
    assert 300 <= min(CHARGES) <= max(CHARGES) <= 500
    assert max(CHARGES) - min(CHARGES) > 100


def test_the_body_names_everything_the_copywriter_needs() -> None:
    body = body_for(lead(1, language="de", note='Two lines,\nand a "quote".'))
    asked = text_of(Endpoint.CHAT, body)
    assert "Language: de" in asked
    assert 'Two lines,\nand a "quote".' in asked
    email = write_email(asked, 1)
    assert "Guten Tag Person 1," in email.text
    assert "Company 1" in email.text


def test_the_longest_copy_fits_the_answer_that_is_asked_for() -> None:
    longest = max(
        len(write_email(text_of(Endpoint.CHAT, body_for(each)), seed).text.encode())
        for each in read_leads(60)
        for seed in range(5)
    )
    assert longest / 4 < ANSWER_TOKENS_MAX


def submit_line(lead: Lead) -> dict[str, Any]:
    """The lead as a line of `examples/leads.jsonl`, for `headrace submit`."""
    about = {"template": TEMPLATE, "metadata": metadata_for(lead)}
    return {"id": request_id(lead), "lane": lead.urgency, "body": body_for(lead), **about}


def test_a_line_for_submit_is_a_valid_request_and_names_its_lane() -> None:
    line = submit_line(lead(8841, "urgent"))
    lane = line.pop("lane")
    prepared = submission(line, lane=lane)
    assert (prepared.request.id, prepared.lane) == ("lead-8841-email", "urgent")
    assert prepared.request.metadata == {"lead": 8841, "company": "Company 8841"}


def test_the_example_file_is_what_the_first_60_leads_become() -> None:
    """If it is not: `headrace` changed its prompt; write `submit_line` of the first 60 leads into the file again."""
    lines = EXAMPLES.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [submit_line(each) for each in read_leads(60)]
