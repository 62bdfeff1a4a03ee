"""Findings of `headrace topics check`: deviations of the cluster, described for a person and for a machine."""

from dataclasses import dataclass, field
from typing import Final

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.settings.connections import KafkaSettings

FOR_EVER: Final = "-1"
"""Kafka's notation for no bound."""
_KIB: Final = 1_024
_MIB: Final = 1_024 * 1_024


def kafka_tool(name: str, kafka: KafkaConnection | KafkaSettings) -> str:
    """Return the beginning of a command of Kafka's own, as an operator pastes it."""
    secured = "" if kafka.security_protocol == "PLAINTEXT" else " --command-config client.properties"
    return f"{name} --bootstrap-server {kafka.bootstrap_servers}{secured}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference, or one caution.

    Attributes:
        topic: its name; None for what concerns nodes.
        setting: Kafka's name of it, or `exists`, `reply`, `partitions`, `replicas`, `nodes`, `settings`.
        is_now: the present value.
        should_be: the value it should have.
        because: what goes wrong otherwise; a clause.
        mend: the command that mends it, or what to do.
        nodes: those it concerns; empty for a topic and for the cluster as a whole.
    """

    topic: str | None
    setting: str
    is_now: str
    should_be: str
    because: str
    mend: str
    nodes: tuple[int, ...] = ()

    @property
    def said(self) -> str:
        """Present value, wanted value and reason: a sentence without its subject."""
        is_now, should_be = _told(self.setting, self.is_now), _told(self.setting, self.should_be)
        match self.setting:
            case "exists":
                return "does not exist"
            case "reply":
                return f"does not exist: {self.because}"
            case "partitions" | "replicas" | "nodes":
                counted = self.setting[:-1] if self.is_now == "1" else self.setting
                return f"has {is_now} {counted} instead of {should_be}: {self.because}"
            case "settings":
                return f"does not show its settings: {self.because}"
        return f"{self.setting} is {is_now} and should be {should_be}: {self.because}"

    @property
    def subject(self) -> str:
        """Topic or nodes that it concerns."""
        if self.topic is not None:
            return self.topic
        named = ", ".join(str(node) for node in self.nodes)
        return f"node{'s' if len(self.nodes) > 1 else ''} {named}" if named else "the cluster"

    @property
    def headline(self) -> str:
        """Subject and predicate."""
        verb = "" if self.said.startswith(("does ", "has ")) else ":"
        return f"{self.subject}{verb} {self.said}"

    @property
    def sentence(self) -> str:
        """Full sentence, with the repair."""
        return f"{self.headline}; to fix it: {self.mend}"


@dataclass(slots=True)
class Review:
    """Result of a review; cautions are mentioned and change nothing."""

    differences: list[Finding] = field(default_factory=list)
    cautions: list[Finding] = field(default_factory=list)

    @property
    def missing(self) -> list[Finding]:
        """The differences that are topics which do not exist."""
        return [one for one in self.differences if one.setting == "exists"]


def _told(setting: str, value: str) -> str:
    """Return the value, with its meaning to a person."""
    if not value.isdigit():
        return "without limit (-1)" if value == FOR_EVER else value
    if setting.endswith(".ms"):
        return f"{value} ({span(int(value))})"
    if setting.endswith(".minutes"):
        return f"{value} ({span(int(value) * 60_000)})"
    if setting.endswith(".bytes") and int(value) >= _KIB:
        size = int(value) / _MIB
        return f"{value} ({size:.3g} MiB)" if size >= 0.1 else f"{value} ({int(value) / _KIB:.3g} KiB)"
    return value


def span(milliseconds: int) -> str:
    """Return a duration in its largest fitting unit."""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if milliseconds >= size:
            return f"{milliseconds / size:.4g} {unit}"
    return f"{milliseconds} ms"
