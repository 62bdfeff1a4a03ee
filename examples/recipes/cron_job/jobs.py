"""The two jobs: `submit` requests an e-mail for each new lead, `collect` stores the outcomes that have come.

Neither waits for a model, both end by themselves, and either may die at any line and be started again:

- The id names the work: `first-email-v1/17`. While a request is under way, and for an hour after its answer, the same
  id is no second call.
- After that hour the store takes over. `submit` collects before it requests, so even a request whose receipt was lost
  with the process is recognised by its outcome, which Kafka keeps for seven days.
- `collect` counts an outcome as handled once the store has it.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cron_job.store import Store
from headrace import Completed, GenerationClient, KafkaConnection, Outcome, ResultReader, Submission, submission
from headrace.broker.client_ports import ClientDoors
from headrace.schemas.expectation import Expectation
from headrace.schemas.outcome import sent_as

TENANT = "cron-leads"
GROUP = "cron-leads"
_PREFIX = "first-email-v1/"  # another prompt is another version: the same id with another body would be a conflict
Connection = KafkaConnection | ClientDoors


@dataclass(frozen=True, slots=True)
class Lead:
    """One row of the file."""

    id: str
    company: str
    contact: str
    language: str


@dataclass(frozen=True, slots=True)
class Result:
    """What `collect` found new."""

    written: int = 0
    failures: tuple[tuple[str, str], ...] = ()


def read_leads(path: Path) -> Iterator[Lead]:
    """Yield the leads of a CSV file with the columns id, company, contact, language."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            yield Lead(row["id"], row["company"], row["contact"], row["language"])


async def submit(store: Store, leads: Iterable[Lead], connection: Connection, *, topic_prefix: str) -> int:
    """Request an e-mail for each lead that the store does not know; return their number.

    Raises:
        NotSubmitted: Kafka did not take the next one; start the job again.
    """
    await collect(store, connection, topic_prefix=topic_prefix)
    new = (lead for lead in leads if not store.knows(lead.id))
    async with GenerationClient(connection=connection, topic_prefix=topic_prefix, source="cron-leads") as generations:
        count = 0
        async for receipt in generations.submit_many(_submission(lead) for lead in new):
            store.requested(receipt.id.removeprefix(_PREFIX))
            count += 1
        return count


async def collect(store: Store, connection: Connection, *, topic_prefix: str) -> Result:
    """Store every outcome that has come since the last time."""
    written, failures = 0, list[tuple[str, str]]()

    async def keep(outcome: Outcome) -> None:
        nonlocal written
        lead_id = _lead_of(sent_as(outcome))
        if lead_id is None:  # another service's: every group sees all outcomes
            return
        if isinstance(outcome, Completed) and outcome.finish == "stop":
            email = outcome.response["choices"][0]["message"]["content"]
            written += store.ended(lead_id, outcome.run, email=email, reason=None)
            return
        reason = str(outcome.finish if isinstance(outcome, Completed) else outcome.reason)
        if store.ended(lead_id, outcome.run, email=None, reason=reason):
            failures.append((lead_id, reason))

    reader = ResultReader(
        group=GROUP, connection=connection, topic_prefix=topic_prefix, follow=False, expected=_expected
    )
    async with reader as results:
        await results.handle(keep, dead_letters=None, attempts_max=1)  # a store that fails ends the run
    return Result(written, tuple(failures))


def _submission(lead: Lead) -> Submission:
    content = f"Write a first e-mail to {lead.contact} of {lead.company}, in the language {lead.language}."
    fields = {
        "id": f"{_PREFIX}{lead.id}",
        "tenant": TENANT,
        "template": "first-email",
        "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": content}], "max_tokens": 300},
    }
    return submission(fields, lane="bulk", source="cron-leads")


def _lead_of(request_id: str) -> str | None:
    return request_id.removeprefix(_PREFIX) if request_id.startswith(_PREFIX) else None


def _expected(request_id: str) -> Expectation | None:
    return None if _lead_of(request_id) is None else Expectation(request_id, tenant=TENANT)
