"""The README's team in its tenth hour: `headrace report --advice` on ten hours of its calls.

The team sends the work on each lead to gpt-4, some 300 to 500 tokens a request, as fast as 10,000 tokens a minute
allow. Its habits are ordinary: a list of house rules for each e-mail, a label of one word asked of the same large
model, summaries with a low cap of a thread that quotes itself, workers that put an e-mail's request on the lane again
under a new id when they lose patience. The leads are the 500 of the demo. Tokens are counted as gpt-4 counts them, and
calls are charged as recorded (docs/facts/openai.md §2).

    python -m benchmarks.advice.story

prints what the two options of the verb print, on a Kafka in memory; nothing leaves the process.
"""

import argparse
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from benchmarks.advice.prices import price
from headrace.broker.adapters.tiktoken_counter import TiktokenCounter
from headrace.broker.cli.demo.leads import Lead, read_leads
from headrace.broker.cli.patience import run_verb
from headrace.broker.cli.report.advice import AdviceGiven, show_advice
from headrace.broker.cli.report.bar import ReadingBar
from headrace.broker.cli.report.gathering import Gathered, Gathering
from headrace.broker.cli.report.reading import OutcomeShape
from headrace.broker.cli.report.table import ReportSource, show
from headrace.broker.spending.advice.advisor import Advisor
from headrace.broker.spending.advice.finding import AdviceFinding
from headrace.broker.spending.billing import CostFinder
from headrace.broker.spending.question import ReportPeriod, ReportQuestion
from headrace.broker.spending.report import report_of
from headrace.broker.testing.client_doors import MemoryClientDoors
from headrace.broker.testing.kafka import KafkaLink, MemoryKafka
from headrace.schemas.codec import encode_outcome
from headrace.schemas.ids import request_digest
from headrace.schemas.outcome import Completed, Cost, Timings, Usage
from headrace.schemas.request import GenerationRequest
from headrace.schemas.request_codec import encode_request
from headrace.schemas.spending import AdvisedOutcome, SpentOutcome

MODEL: Final = "gpt-4"
BEGIN: Final = datetime(2026, 11, 30, 8, tzinfo=UTC)
HOURS: Final = 10
TOKENS_A_MINUTE: Final = 10_000
RESULTS: Final = "generation.results"
HOUSE_RULES: Final = """\
You write the first e-mail that a person at Brightmail Replies sends to a new lead.
- Write in the language given below, in the form of address that is usual in that country's business mail.
- Begin with a subject line of at most eight words. No exclamation marks, no emoji, no capitals for emphasis.
- Two short paragraphs. One concrete observation about the lead, one benefit, one easy next step.
- Use the colleague's note for what the lead cares about, but never quote it and never mention that it exists.
- Promise nothing about prices, delivery dates or data protection that is not stated above.
- If the note asks not to be phoned, do not offer a call; if it names a date, respect it.
- Write numbers as the reader's country writes them, and names exactly as the lead spells them.
- Close with a polite way to say no, and sign as "The Brightmail team".
"""
QUALIFY: Final = """\
You sort new leads of Brightmail Replies for the sales team. Answer with one word and nothing else.
hot: the lead asks for an offer, a price, a date or a call, or names a budget, whatever the tone of the note.
warm: the lead describes a problem that faster replies would solve, or compares us with another product.
cold: the lead has read something, filled in a form or was met at a fair, and asks for nothing.
wrong: it is an application for a job, an offer to sell us something, a student's question, or no business at all.
Judge by the colleague's note first, then by how the lead came to us. The size of the company, its country and its
industry do not matter. If two of the words fit, take the one that comes first in this list. If the note is empty or
cannot be understood, answer cold. Never explain your answer, never repeat the note, never translate it.
"""
SUMMARISE: Final = "Summarise what is known about this lead in three sentences for the colleague who calls it next.\n"


@dataclass(frozen=True, slots=True)
class Habit:
    """One template of the team: what it sends, and how long its answers want to be.

    Attributes:
        share: Of all requests.
        resent: Share of the requests that a worker sends again under a new id.
    """

    template: str
    lane: str
    instructions: str
    share: float
    wanted: tuple[int, int]
    cap: int
    resent: float = 0.0
    quotes_itself: bool = False


HABITS: Final = (
    Habit("first-touch", "standard", HOUSE_RULES, 0.5, (70, 150), 500, resent=0.12),
    Habit("qualify", "urgent", QUALIFY, 0.35, (1, 3), 500),
    Habit("summary", "bulk", SUMMARISE, 0.15, (60, 120), 90, quotes_itself=True),
)


class Story:
    """A Kafka in memory with the team's requests and outcomes."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.at = BEGIN
        self.kafka = MemoryKafka(lambda: int(self.at.timestamp() * 1_000))
        self.counter = TiktokenCounter()
        self.kafka.create(RESULTS, 3)
        for habit in HABITS:
            self.kafka.create(f"generation.requests.{habit.lane}", 3)

    def play(self) -> None:
        """Spend the account's tokens for ten hours, lead after lead."""
        leads, number = read_leads(), 0
        while self.at < BEGIN + timedelta(hours=HOURS):
            lead, number = leads[number % len(leads)], number + 1
            habit = self.rng.choices(HABITS, [each.share for each in HABITS])[0]
            body = _body(habit, lead, number)
            charged = self._call(habit, body, f"{habit.template}-{number}")
            if self.rng.random() < habit.resent:
                charged += self._call(habit, body, str(uuid.UUID(int=self.rng.getrandbits(128))))
            self.at += timedelta(minutes=charged / TOKENS_A_MINUTE)

    def _call(self, habit: Habit, body: dict[str, Any], request_id: str) -> int:
        request = GenerationRequest(id=request_id, body=body, template=habit.template, tenant="sales")
        topic = f"generation.requests.{habit.lane}"
        self.kafka.append(topic, encode_request(request, source="/story", time=self.at))
        texts = [message["content"] for message in body["messages"]]
        tokens = 3 + sum(4 + (self.counter.count(MODEL, text) or 0) for text in texts)
        wanted = self.rng.randint(*habit.wanted)
        output = min(wanted, habit.cap)
        usage = Usage(input_tokens=tokens, output_tokens=output, total_tokens=tokens + output)
        charge = -(-sum(len(text.encode()) for text in texts) // 4) + len(texts) + 1
        outcome = Completed(
            id=request_id,
            lane=habit.lane,
            tenant="sales",
            template=habit.template,
            endpoint="chat.completions",
            request_digest=request_digest("chat.completions", body),
            model="gpt-4-0613",
            response={},
            finish="length" if wanted > habit.cap else "stop",
            usage=usage,
            cost=price(MODEL, "default", usage),
            charge_tokens=charge,
            tier_served="default",
            attempts=1,
            timings=Timings(
                submitted_at=self.at, called_at=self.at, finished_at=self.at + timedelta(seconds=4), queue_ms=900
            ),
        )
        self.kafka.append(RESULTS, encode_outcome(outcome, time=self.at))
        return charge


class _Prices:
    """The prices of gpt-4 and of its successor, a snapshot priced as its model."""

    version = "prices of the story: gpt-4 $30 and $60, gpt-4.1 $2 and $8 for a million tokens"

    def cost(self, model: str, usage: Usage, *, tier: str, at: datetime) -> Cost:
        """Return what a call costs."""
        del at
        return self.price(model, tier, usage)

    def price(self, model: str, tier: str, usage: Usage) -> Cost:
        """Return what a call costs."""
        return price(model.removesuffix("-0613"), tier, usage) or Cost(note=f"no price for {model}")


def _body(habit: Habit, lead: Lead, number: int) -> dict[str, Any]:
    about = (
        f"Lead {number} of {lead.company}: {lead.contact_name}, {lead.role}, {lead.industry}, {lead.country} "
        f"({lead.language}), by {lead.source}.\nNote by a colleague:\n{lead.note}\n"
    )
    messages = [
        {"role": "system", "content": habit.instructions},
        {"role": "user", "content": about * (2 if habit.quotes_itself else 1)},
    ]
    return {"model": MODEL, "messages": messages, "max_tokens": habit.cap}


async def _gathered(gathering: Gathering, advisor: Advisor) -> tuple[Gathered, int]:
    with ReadingBar(quiet=True) as bar:
        reads = OutcomeShape(AdvisedOutcome, cast("Callable[[SpentOutcome], None]", advisor.outcome))
        gathered = await gathering.gather(bar, CostFinder(_Prices), reads)
        lanes = {habit.lane: timedelta() for habit in HABITS}
        return gathered, await gathering.requests(lanes, bar, advisor.request, advisor.wants)


def tell(seed: int, *, show_prompts: bool = False) -> list[AdviceFinding]:
    """Play the story, print the report and its advice, and return the advice."""
    story = Story(seed)
    story.play()
    period = ReportPeriod(BEGIN, BEGIN + timedelta(days=1))
    question = ReportQuestion(period, ("template",))
    doors = MemoryClientDoors(story.kafka, KafkaLink(story.kafka))
    advisor = Advisor(price=_Prices().price, count=story.counter.count)
    gathered, requests = run_verb(_gathered(Gathering(doors, "generation", question), advisor))
    found = advisor.findings(days=1, show_prompts=show_prompts)
    show(report_of(gathered.tally, gathered.compared), ReportSource(gathered.topic))
    show_advice(AdviceGiven(found, requests))
    return found


def main() -> None:
    """Print the story."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--show-prompts", action="store_true")
    given = parser.parse_args()
    tell(given.seed, show_prompts=given.show_prompts)


if __name__ == "__main__":
    main()
