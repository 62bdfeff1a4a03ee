"""The service's results: one row for each accepted request. SQLite here; take your database and its async driver."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_SCHEMA = """
CREATE TABLE IF NOT EXISTS emails (
    id TEXT PRIMARY KEY,
    asked TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'accepted' CHECK (state IN ('accepted', 'written', 'failed')),
    run INTEGER NOT NULL DEFAULT -1, text TEXT, reason TEXT
);
"""


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of a request: `asked` is what the client sent."""

    asked: str
    state: str
    text: str | None
    reason: str | None


class Store:
    """Results by request id; `with` closes it."""

    def __init__(self, path: Path | str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript("PRAGMA journal_mode = WAL;" + _SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def accept(self, request_id: str, asked: str) -> Row:
        """Note a request, before it is sent; return what is known of it."""
        self._db.execute("INSERT INTO emails (id, asked) VALUES (?, ?) ON CONFLICT DO NOTHING", (request_id, asked))
        row = self.get(request_id)
        assert row is not None  # noqa: S101  # rows are never deleted
        return row

    def end(self, request_id: str, run: int, text: str | None, reason: str | None) -> None:
        """Store a result, unless the same or a later run has one: each may come twice."""
        state = "failed" if text is None else "written"
        self._db.execute(
            "UPDATE emails SET state = ?, run = ?, text = ?, reason = ? WHERE id = ? AND run < ?",
            (state, run, text, reason, request_id, run),
        )

    def get(self, request_id: str) -> Row | None:
        """Return what is known of a request; None if it was never accepted."""
        found = self._db.execute("SELECT asked, state, text, reason FROM emails WHERE id = ?", (request_id,)).fetchone()
        return None if found is None else Row(*found)
