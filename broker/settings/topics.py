"""How the topics are created, and how long each keeps its records."""

from typing import Self

from pydantic import ByteSize, Field, model_validator

from headrace.broker.settings.group import LIFETIME_MAX_S, Contradiction, ContradictionsError, Group, Size

DAY_S = 86_400
_WEEK_S = 7 * DAY_S


class TopicSettings(Group):
    """One topic. Unless set here, `replication` and `min_insync` yield to a cluster with fewer nodes."""

    partitions: int = Field(ge=1, le=10_000)
    retention_s: int | None = Field(None, ge=60, le=LIFETIME_MAX_S)
    max_message_bytes: Size = ByteSize(1024 * 1024)
    replication: int = Field(3, ge=1, le=100)
    min_insync: int = Field(2, ge=1)

    @model_validator(mode="after")
    def _check_replicas(self) -> Self:
        if self.min_insync > self.replication and "min_insync" in self.model_fields_set:
            sentence = f"min_insync {self.min_insync} is above replication {self.replication}"
            raise ContradictionsError(Contradiction(sentence, (("min_insync",), ("replication",))))
        return self


class RequestsTopicSettings(TopicSettings):
    """`<prefix>.requests.<lane>`: all lanes alike."""

    partitions: int = Field(6, ge=1, le=10_000)
    retention_s: int = Field(_WEEK_S, ge=2 * DAY_S, le=LIFETIME_MAX_S)


class ControlTopicSettings(TopicSettings):
    """`<prefix>.control`: cancellations."""

    partitions: int = Field(1, ge=1, le=10_000)
    retention_s: int = Field(DAY_S, ge=60, le=LIFETIME_MAX_S)


class ResultsTopicSettings(TopicSettings):
    """`<prefix>.results`: outcomes, kept whether read or not."""

    partitions: int = Field(12, ge=1, le=10_000)
    retention_s: int = Field(_WEEK_S, ge=60, le=LIFETIME_MAX_S)


class FailuresTopicSettings(TopicSettings):
    """`<prefix>.failures`: parked requests, which wait for the retrier."""

    partitions: int = Field(6, ge=1, le=10_000)
    retention_s: int = Field(_WEEK_S, ge=60, le=LIFETIME_MAX_S)


class ChunksTopicSettings(TopicSettings):
    """`<prefix>.chunks`: streamed deltas, best effort."""

    partitions: int = Field(6, ge=1, le=10_000)
    retention_s: int = Field(3_600, ge=60, le=LIFETIME_MAX_S)


class DeadLettersTopicSettings(TopicSettings):
    """`<prefix>.dead-letters`: records of failed requests, unchanged."""

    partitions: int = Field(3, ge=1, le=10_000)
    retention_s: int = Field(30 * DAY_S, ge=60, le=LIFETIME_MAX_S)


class TotalsTopicSettings(TopicSettings):
    """`<prefix>.totals`: sums over outcomes by hour, compacted; one partition, always."""

    partitions: int = Field(1, ge=1, le=1)
    retention_s: int = Field(400 * DAY_S, ge=2 * DAY_S, le=LIFETIME_MAX_S)


class LedgerTopicSettings(TopicSettings):
    """`<prefix>.ledger`: one partition, always. `retention_s` follows the dedupe window unless set."""

    partitions: int = Field(1, ge=1, le=1)
    segment_s: int = Field(3_600, ge=60)


class CallsTopicSettings(TopicSettings):
    """`<prefix>.calls`: calls that a repeated attempt may join; only with a gateway."""

    partitions: int = Field(6, ge=1, le=10_000)
    retention_s: int = Field(3_600, ge=60, le=LIFETIME_MAX_S)


class BatchesTopicSettings(TopicSettings):
    """`<prefix>.batches`: files and batches; only with a gateway."""

    partitions: int = Field(12, ge=1, le=10_000)
    retention_s: int = Field(30 * DAY_S, ge=60, le=LIFETIME_MAX_S)


class TopicsSettings(Group):
    """All topics of one prefix."""

    requests: RequestsTopicSettings = RequestsTopicSettings()
    control: ControlTopicSettings = ControlTopicSettings()
    results: ResultsTopicSettings = ResultsTopicSettings()
    failures: FailuresTopicSettings = FailuresTopicSettings()
    chunks: ChunksTopicSettings = ChunksTopicSettings()
    dead_letters: DeadLettersTopicSettings = DeadLettersTopicSettings()
    totals: TotalsTopicSettings = TotalsTopicSettings()
    ledger: LedgerTopicSettings = LedgerTopicSettings()
    calls: CallsTopicSettings = CallsTopicSettings()
    batches: BatchesTopicSettings = BatchesTopicSettings()
