"""Headrace for services: send requests, wait for their outcomes, read results, streams and dead letters.

    from headrace import Completed, Failed, GenerationClient, ResultReader

Services without an event loop use the names that begin with `Sync`. Each name is loaded when it is first asked for, so
that a service loads what it uses: aiokafka and pydantic, and nothing that an extra brings. This is the one name that an
installation adds to a service's imports. The packages below it are the folders `broker`, `consumers` and `schemas` of
the repository, to which the links beside this file lead.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.broker.adapters.kafka.connection import KafkaConnection
    from headrace.broker.client import GenerationClient, Submission, submission
    from headrace.broker.errors import (
        AnswerUnusable,
        AuthenticationError,
        Disconnected,
        GenerationFailed,
        HeadraceError,
        IdConflict,
        InvalidRequest,
        LogUnavailable,
        MissingTopic,
        NotSubmitted,
        OutcomeUnreadable,
        RightsError,
        SdkMissing,
        SettingsError,
        Unreachable,
        Unresolved,
        WaitTimedOut,
    )
    from headrace.broker.sync_client import SyncGenerationClient
    from headrace.consumers.chunks import ChunkReader
    from headrace.consumers.dead_letters import DeadLetterReader
    from headrace.consumers.results import ResultReader
    from headrace.consumers.sync_chunks import SyncChunkReader
    from headrace.consumers.sync_dead_letters import SyncDeadLetterReader
    from headrace.consumers.sync_results import SyncResultReader
    from headrace.schemas.outcome import Completed, Failed, Outcome

__all__ = [
    "AnswerUnusable",
    "AuthenticationError",
    "ChunkReader",
    "Completed",
    "DeadLetterReader",
    "Disconnected",
    "Failed",
    "GenerationClient",
    "GenerationFailed",
    "HeadraceError",
    "IdConflict",
    "InvalidRequest",
    "KafkaConnection",
    "LogUnavailable",
    "MissingTopic",
    "NotSubmitted",
    "Outcome",
    "OutcomeUnreadable",
    "ResultReader",
    "RightsError",
    "SdkMissing",
    "SettingsError",
    "Submission",
    "SyncChunkReader",
    "SyncDeadLetterReader",
    "SyncGenerationClient",
    "SyncResultReader",
    "Unreachable",
    "Unresolved",
    "WaitTimedOut",
    "submission",
]

_MODULES = {
    "ChunkReader": "consumers.chunks",
    "Completed": "schemas.outcome",
    "DeadLetterReader": "consumers.dead_letters",
    "Failed": "schemas.outcome",
    "GenerationClient": "broker.client",
    "KafkaConnection": "broker.adapters.kafka.connection",
    "Outcome": "schemas.outcome",
    "ResultReader": "consumers.results",
    "Submission": "broker.client",
    "SyncChunkReader": "consumers.sync_chunks",
    "SyncDeadLetterReader": "consumers.sync_dead_letters",
    "SyncGenerationClient": "broker.sync_client",
    "SyncResultReader": "consumers.sync_results",
    "submission": "broker.client",
}
_ERRORS = "broker.errors"
"""The module of every other name."""

if not TYPE_CHECKING:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> object:
        """Load a public name from its module.

        Raises:
            AttributeError: There is no such name.
        """
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f"{__name__}.{_MODULES.get(name, _ERRORS)}"), name)
        globals()[name] = found  # asked for once
        return found

    def __dir__() -> list[str]:
        """Return the public names, loaded or not."""
        return sorted({*globals(), *__all__})
