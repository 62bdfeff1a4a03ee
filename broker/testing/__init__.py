"""Headrace in memory, for the tests of services that use it, and the doubles of our ports that it is made of.

`MemoryBroker` is a whole broker, `SyncMemoryBroker` one for sync clients and readers; `Said` and `Silence` are the
answers that its OpenAI may give. The doubles pass the same contract suites as the real adapters. Does not belong here:
anything a running dispatcher needs.
"""

from headrace.broker.testing.memory_broker import Answer, MemoryBroker
from headrace.broker.testing.sync_broker import SyncMemoryBroker
from headrace.broker.testing.upstream import Asked, Said, Silence

__all__ = ["Answer", "Asked", "MemoryBroker", "Said", "Silence", "SyncMemoryBroker"]
