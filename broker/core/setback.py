"""Kinds of errors that end a transaction.

A module of its own, because the error tree of producers and readers has it too (`headrace.broker.errors`): they load no
other part of the core.
"""

from enum import Enum


class Setback(Enum):
    """Kind of error that ended a transaction."""

    UNKNOWN = "unknown"  # Kafka may be away, or another leader active: the transaction may even have been committed
    REFUSED = "refused"  # because of its content: it was not committed, and will fail again
    DENIED = "denied"  # a right or topic is missing, or a setting forbids it: an operator's error, whatever the content
