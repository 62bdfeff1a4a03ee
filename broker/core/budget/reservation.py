"""A call that was paid for and has not ended, and what the figure in its answer will leave out.

Headers are as of the call's admission, where the mirror expects them. But a law may charge for the output when the call
ends. Then the headers are as of the end, and have what flowed in meanwhile in them already, unless they came before the
answer, as a stream's do. Either way they lack the outputs that were not settled then.
"""

from broker.core.answers.rate_limit_headers import TOKENS, Metric
from broker.core.value import value


@value
class Reservation:
    """A call in flight.

    Attributes:
        number: Of the call, among those sent.
        charge: Tokens, by our law or by the server's own word.
        paid: The same, marked up.
        stated: The server itself has named the charge.
        sent_ms: When it was sent.
        depth: How much was spent at once then.
        endpoint: By which its law is told.
        unsettled: What the calls then in flight, this one included, had still to take when they end.
        lane_order: Its lane's place in the order of preference.
    """

    number: int
    charge: int
    paid: int
    stated: bool
    sent_ms: int
    depth: int
    endpoint: str
    unsettled: int
    lane_order: int = 0

    def amount(self, metric: Metric) -> int:
        """What was paid of that metric."""
        return self.paid if metric is TOKENS else 1

    def refilled(self, capacity: int, period_ms: int, until_ms: int) -> int:
        """What has flowed into such a bucket since it was sent."""
        return capacity * max(0, until_ms - self.sent_ms) // period_ms
