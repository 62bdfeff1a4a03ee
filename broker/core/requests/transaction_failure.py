"""Why a Kafka transaction failed, as far as its error tells: what the door says and the core acts upon."""

from enum import Enum


class Setback(Enum):
    """Kind of an error that ended a transaction."""

    UNKNOWN = "unknown"  # Kafka may be away, or another leader there: the transaction may even stand
    REFUSED = "refused"  # for what it contains: it was not committed, and will fail again
    DENIED = "denied"  # for want of a right, of a topic, or by a setting: an operator's error, whatever it contains
