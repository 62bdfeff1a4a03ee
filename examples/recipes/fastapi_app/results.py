"""The background reader: stores each outcome of the service's own requests, whichever process requested it."""

import asyncio

from fastapi_app.emails import expected, result_of
from fastapi_app.store import Store
from headrace import KafkaConnection, Outcome, ResultReader, Unreachable
from headrace.broker.client_ports import ClientDoors

GROUP = "fastapi-app"
DEAD_LETTERS = "fastapi-app.dead-letters"
_PAUSE_S = 5.0


class Results:
    """Reader of one process; all processes are one group, and share the outcomes."""

    def __init__(self, connection: KafkaConnection | ClientDoors, store: Store) -> None:
        self._store = store
        self._reader = ResultReader(group=GROUP, connection=connection, expected=expected)

    def stop(self) -> None:
        """Finish the outcomes in hand and end."""
        self._reader.stop()

    async def run(self) -> None:
        """Store outcomes until `stop` was called; wait while Kafka is away.

        Raises:
            MissingTopic, RightsError, AuthenticationError, SettingsError: An operator must act.
        """
        while not self._reader.stopping.is_set():
            try:
                async with self._reader as reader:
                    await reader.handle(self._keep, dead_letters=DEAD_LETTERS)
            except Unreachable:  # at the start; later the reader itself waits
                await asyncio.sleep(_PAUSE_S)

    async def _keep(self, outcome: Outcome) -> None:
        self._store.end(outcome.id, outcome.run, *result_of(outcome))  # no row, no effect: another service's
