"""Requests of a batch's input file by number, read in order without holding the file."""

from collections.abc import AsyncGenerator

from headrace.broker.gateway.batches.lines import InputLine, LineRequest, read_line, split_lines
from headrace.broker.gateway.batches.records import BatchCreated
from headrace.broker.gateway.batches.store import BatchStore


class InputReader:
    """Reader of a file that was found valid; going back starts at its beginning."""

    def __init__(self, store: BatchStore, created: BatchCreated) -> None:
        """It reads nothing yet."""
        self._store = store
        self._created = created
        self._lines = self._all()
        self._next = 0

    async def between(self, first: int, end: int) -> list[tuple[int, LineRequest]]:
        """Return the requests from number `first` below `end`.

        Raises:
            PositionGone: The file is no longer there.
        """
        if first < self._next:
            await self._lines.aclose()
            self._lines, self._next = self._all(), 0
        found: list[tuple[int, LineRequest]] = []
        while self._next < end:
            text = await anext(self._lines, None)
            if text is None:
                break
            number, self._next = self._next, self._next + 1
            if number >= first and isinstance(request := read_line(text, self._created.endpoint), LineRequest):
                found.append((number, request))
        return found

    def _all(self) -> AsyncGenerator[InputLine, None]:
        return split_lines(self._store.parts(self._created.source, self._created.input_file_id))
