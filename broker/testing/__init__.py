"""Headrace in memory, for the tests of services that use it, and the doubles of our ports that it is made of.

`MemoryBroker` is a whole broker, `SyncMemoryBroker` one for sync clients and readers; `Said` and `Silence` are the
answers that its OpenAI may give. The doubles pass the same contract suites as the real adapters. Does not belong here:
anything a running dispatcher needs.

The dispatcher in it is the real one, so it needs the extra `testing`: what logs, counts and serves pages, but neither
openai nor redis.
"""

from headrace.broker.extras import require

try:
    from headrace.broker.testing.memory_broker import Answer, MemoryBroker
    from headrace.broker.testing.sync_broker import SyncMemoryBroker
except ModuleNotFoundError:
    require("testing", "The doubles of headrace.broker.testing")
    raise
from headrace.broker.testing.upstream import Asked, Said, Silence

__all__ = ["Answer", "Asked", "MemoryBroker", "Said", "Silence", "SyncMemoryBroker"]
