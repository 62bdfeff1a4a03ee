"""Who cannot be called before its deadline, whatever happens: it is told so at once, unpaid.

What is certain of a request's turn: those before it in its tenant's line are called before it, and no more tokens flow
in than the buckets refill. Everything else may turn out well: nobody of other tenants and lanes may wait, levels may be
as high as they can be, the cheapest law that is not refuted may hold. Who could not start in time even then has no
chance. Those after it are judged as if it were not there.
"""

from collections.abc import Callable, Iterable

from broker.core.ticket import Ticket


def out_of_reach(line: Iterable[Ticket], soonest: Callable[[int], int], least: Callable[[Ticket], int]) -> list[Ticket]:
    """Those of a line, in order, whose turn cannot come before their deadline.

    Args:
        line: Who waits, in the order in which they will be called.
        soonest: The first instant at which so many tokens could have been paid in all.
        least: What a call of it takes at least.
    """
    lost, ahead = [], 0
    for ticket in line:
        tokens = ahead + least(ticket)
        if soonest(tokens) >= ticket.candidate.deadline_ms:
            lost.append(ticket)
        else:
            ahead = tokens
    return lost
