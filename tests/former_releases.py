"""What the first release did not write: tests that play a rolling upgrade leave it out."""

LATER_LEDGER_FIELDS = frozenset({"awaited", "key", "key_since_s", "totals", "proved", "cancels_of", "awaited_of"})
"""Fields of a ledger line that a later release has added."""
