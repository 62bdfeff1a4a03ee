"""The fixed words in which a trace names records and decisions.

They are no names of classes, modules or attributes: whatever is renamed, the digests of a seed before and after can be
compared. Sentences are left out for the same reason; reasons are what is published, and never renamed.
"""

from typing import assert_never

from headrace.broker.core.commands import Complete, Decision, Discard, Fail, Park, Remember, Withdraw
from tests.simulation.kafka import Content, Request, Rubbish, Wish

Words = tuple[object, ...]


def words_of_content(content: Content) -> Words:
    """What a record says."""
    match content:
        case Request():
            identity = content.name, content.run, content.attempt, content.failures, content.body
            size = content.model, content.estimate, content.charge, content.deadline_ms, content.size
            tier = (content.tier,) if content.tier else ()
            return ("request", *identity, *size, content.refused, content.tenant, content.order, *tier)
        case Rubbish():
            return ("rubbish", content.name, content.body)
        case Wish():
            return ("cancel", content.name)
        case _:
            assert_never(content)


def words_of_decision(decision: Decision) -> Words:
    """What becomes of a record; instants are those of the process that decides."""
    match decision:
        case Complete():
            said: Words = ("completes",)
        case Fail():
            said = ("fails", decision.reason, decision.apart)
        case Park():
            said = ("parks", decision.kind, decision.not_before_ms, decision.attempts, decision.failures)
        case Withdraw():
            said = ("withdraws", decision.run, decision.attempts, decision.of_tenant)
        case Discard():
            said = ("discards", decision.returned, decision.overdue)
        case Remember():
            said = ("remembers", decision.cancel.at_ms)
        case _:
            said = ("writes a dead letter alone", decision.reason, decision.lost)
    return said
