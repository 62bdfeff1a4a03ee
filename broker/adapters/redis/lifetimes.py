"""Lifetimes of what processes leave beside the lease; the double has the same, without redis being loaded."""

from typing import Final

NOTE_MS: Final = 2_000
STATUS_LIVE_MS: Final = 5_000
STATUS_KEPT_MS: Final = 86_400_000
"""A status is live for five seconds; for a day it still shows which process led last, and how that ended."""
