"""What a person reads at the end, drawn into text."""

import json
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from headrace.broker.cli.demo.comparison import Comparison, SideResult
from headrace.broker.cli.demo.emails import chosen_emails
from headrace.broker.cli.demo.headrace_side import Copies
from headrace.broker.cli.demo.race import RaceResult, patience_s
from headrace.broker.cli.demo.report import as_json, report, sentence, table
from headrace.broker.cli.demo.stage import DemoSettings
from headrace.broker.cli.demo.timetable import Job, timetable
from tests.unit.cli.demo.leads_of import lead

NAIVE = SideResult(
    leads=60,
    answered=41,
    failed=19,
    throttled=66,
    calls=107,
    charged_tokens=16_400,
    share=0.701,
    elapsed_s=83,
    urgent=10,
    urgent_waits_s=(2.0, 2.4, 6.7),
)
HEADRACE = SideResult(
    leads=60,
    answered=60,
    failed=0,
    throttled=0,
    calls=60,
    charged_tokens=24_000,
    share=0.972,
    elapsed_s=91.2,
    urgent=10,
    urgent_waits_s=(2.0, 2.3, 3.6),
)
JOBS = timetable(
    [
        lead(1, "bulk", language="fr"),
        lead(2, "urgent", language="pl"),
        lead(3, "urgent", note="Call [back] 📞"),
        lead(4, "bulk", language="de"),
        lead(5, "bulk"),
    ]
)
JOB_OF = {job.lead.lead_id: job for job in JOBS}


def finish(*answered: str, headrace: SideResult = HEADRACE) -> RaceResult:
    texts = {JOB_OF[number].id: f"Subject: Hello {number}\n\nText" for number in answered}
    return RaceResult(Comparison(NAIVE, headrace), Copies(text_of=texts), (), 0.012)


def drawn(what: RenderableType, width: int = 100) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        console.print(what)
    return captured.get()


def cells(text: str, label: str) -> list[str]:
    [line] = [line for line in text.splitlines() if line.startswith(f"│  {label}")]
    return [cell.strip() for cell in line.split("│") if cell.strip()]


def test_the_table_sets_the_two_sides_number_by_number() -> None:
    text = drawn(table(Comparison(NAIVE, HEADRACE)))
    assert cells(text, "leads answered")[1:] == ["41 of 60", "60 of 60"]
    assert cells(text, "leads failed")[1:] == ["19", "0"]
    assert cells(text, "429s")[1:] == ["66", "0"]
    assert cells(text, "calls made")[1:] == ["107", "60"]
    assert cells(text, "minutes")[1:] == ["1.38", "1.52"]
    assert cells(text, "share of the quota")[1:] == ["70.1%", "97.2%"]
    assert cells(text, "urgent leads answered")[1:] == ["3 of 10", "3 of 10"]
    assert cells(text, "  their wait, median")[1:] == ["2.4 s", "2.3 s"]
    assert cells(text, "  their wait, 95th")[1:] == ["6.7 s", "3.6 s"]


def test_a_side_without_admissions_and_answers_has_dashes() -> None:
    nothing = replace(NAIVE, share=None, urgent_waits_s=())
    text = drawn(table(Comparison(nothing, HEADRACE)))
    assert cells(text, "share of the quota")[1] == cells(text, "  their wait, median")[1] == "-"


def test_one_sentence_says_what_was_seen() -> None:
    assert sentence(Comparison(NAIVE, HEADRACE)) == (
        "Four workers lost 19 of 60 leads to 66 429s; Headrace answered all 60 with no 429s, used 97.2% of the "
        "account's quota, and an urgent lead had its e-mail after 2.3 s (median)."
    )


@pytest.mark.parametrize(
    ("naive", "headrace", "said"),
    [
        (replace(NAIVE, answered=60, failed=0, throttled=3), HEADRACE, "Four workers answered all 60 leads against 3"),
        (NAIVE, replace(HEADRACE, throttled=1), "with 1 429,"),
        (NAIVE, replace(HEADRACE, urgent_waits_s=()), "the account's quota."),
        (NAIVE, replace(HEADRACE, answered=59, failed=1), "59 of 60 leads were answered and 1 failed: this breaks"),
    ],
)
def test_the_sentence_says_no_more_than_was_seen(naive: SideResult, headrace: SideResult, said: str) -> None:
    assert said in sentence(Comparison(naive, headrace))


def test_an_urgent_english_lead_and_one_abroad_are_shown() -> None:
    chosen = chosen_emails(JOBS, finish("1", "2", "3", "4", "5").copies.text_of)
    assert [job.lead.lead_id for job in chosen] == ["3", "1"]


def test_no_lead_is_shown_twice() -> None:
    jobs = timetable([lead(1, "urgent", language="de"), lead(2)])
    assert [job.lead.lead_id for job in chosen_emails(jobs, {job.id: "Text" for job in jobs})] == ["1"]


@pytest.mark.parametrize(
    ("answered", "shown"),
    [(("2", "4"), ["2", "4"]), (("4", "5"), ["4"]), (("5",), []), ((), [])],
)
def test_what_was_not_answered_is_not_shown(answered: tuple[str, ...], shown: list[str]) -> None:
    assert [job.lead.lead_id for job in chosen_emails(JOBS, finish(*answered).copies.text_of)] == shown


def test_the_report_prints_brackets_and_emoji_of_a_note_as_they_are() -> None:
    text = drawn(report(finish("3", "4"), JOBS), width=80)
    assert "urgent · CEO · IE, en · “Call [back] 📞”" in text
    assert "Person 3 · Company 3" in text
    assert "Subject: Hello 4" in text
    assert "Four workers lost 19" in text
    assert "headrace local up" in text


def test_two_emails_stand_beside_each_other_where_there_is_room() -> None:
    lines = drawn(report(finish("3", "4"), JOBS), width=100).splitlines()
    assert any("Subject: Hello 3" in line and "Subject: Hello 4" in line for line in lines)
    assert max(map(len, lines)) <= 100


def test_json_is_one_object_with_both_sides_and_the_copies() -> None:
    told = json.loads(json.dumps(as_json(finish("3", "4"), DemoSettings(), JOBS)))
    assert (told["leads"], told["law"], told["seed"], told["kept"]) == (60, "chat-2025", 7, True)
    assert (told["naive"]["failed"], told["headrace"]["share"]) == (19, 0.972)
    assert [copy["lane"] for copy in told["copies"]] == ["urgent", "bulk"]
    assert told["event_loop_lag_max_ms"] == 12


def test_patience_ends_long_after_the_shortest_possible_run() -> None:
    jobs: tuple[Job, ...] = JOBS
    assert patience_s(DemoSettings(), jobs) == pytest.approx(4 * 16 + 60)
    assert patience_s(DemoSettings(tokens_per_minute=500), jobs) > 4 * 120 + 60
