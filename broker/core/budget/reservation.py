"""Reservation: the charge taken for a call until it ends, and the charges missing from the figure in its answer.

Headers are as of the call's admission, as the mirror expects. But a law may charge for the output when the call ends.
Then the headers are as of the end, and already include the inflow since the admission, unless they came before the
answer, as those of a stream do. Either way they lack the outputs that were not settled then.
"""

from headrace.broker.core.answers.rate_limit_headers import TOKENS, LimitMetric
from headrace.broker.core.value import value


@value
class Reservation:
    """The charge taken for one call in flight.

    Attributes:
        number: The call's number among those sent.
        charge: Tokens, by our law or as the server itself stated.
        paid: The charge, marked up.
        stated: The server itself has named the charge.
        sent_ms: When it was sent.
        burst: The burst depth right after its payment; 0: a measured rate paced it, so that it is part of none.
        endpoint: The endpoint that determines its law.
        unsettled: The output tokens that the calls then in flight, this one included, were still to be charged at their
            end.
        lane_order: Its lane's position in the order of preference.
        held: The mirrors would have held it back: it was a test of them, or they are not followed.
    """

    number: int
    charge: int
    paid: int
    stated: bool
    sent_ms: int
    burst: int
    endpoint: str
    unsettled: int
    lane_order: int = 0
    held: bool = False

    def amount(self, metric: LimitMetric) -> int:
        """Return the amount paid of that metric."""
        return self.paid if metric is TOKENS else 1

    def refilled(self, capacity: int, period_ms: int, until_ms: int) -> int:
        """Return the inflow into such a bucket since the call was sent."""
        return capacity * max(0, until_ms - self.sent_ms) // period_ms
