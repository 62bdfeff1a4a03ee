"""A Kafka node on this machine: its files, its two commands and the errors in its log."""

import subprocess
from pathlib import Path

from headrace.broker.local.errors import LocalServicesError
from headrace.broker.local.formatted import copy_format, keep_format
from headrace.broker.local.logs import telling_line
from headrace.broker.local.processes import Process, spawn
from headrace.broker.local.properties import Node, NodeSettings, log_properties, ours_alone, server_properties

READY_WITHIN_S = 60.0
JVM_OPTIONS = ("-Xmx256m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")


class Kafka:
    """One node of `cluster`, with its data below `data_dir`."""

    def __init__(  # noqa: PLR0913 — the last keyword-only
        self,
        node: Node,
        cluster: tuple[Node, ...],
        data_dir: Path,
        java: tuple[str, ...],
        node_settings: NodeSettings = ours_alone,
        *,
        kept_format: Path | None = None,
    ) -> None:
        """Prepare the node.

        `java` is the java command and its class path, and the node's options are added here. `kept_format` is as in
        `formatted`; without one the node's directory is formatted by Kafka's tool.
        """
        self.node = node
        self._cluster = cluster
        self._java = java
        self._node_settings = node_settings
        self._kept_format = kept_format
        self.home = data_dir / f"kafka-{node.node_id}"
        self._log = data_dir / "logs" / f"kafka-{node.node_id}.log"
        self._output = data_dir / "logs" / f"kafka-{node.node_id}.out"
        self.child: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> Process | None:
        """The server's pid and mark, None before its first start."""
        return None if self.child is None else Process(self.child.pid, str(self.home))

    def prepare(self, cluster_id: str) -> None:
        """Write the node's files, and format its directory where that is still empty."""
        for directory in (self.home / "tmp", self._log.parent):
            directory.mkdir(parents=True, exist_ok=True)
        data = self.home / "data"
        settings = server_properties(self.node, self._cluster, data, self._node_settings)
        self._properties.write_text(settings, encoding="utf-8")
        self._log_properties.write_text(log_properties(self._log), encoding="utf-8")
        if (data / "meta.properties").exists():
            return
        kept = self._kept_format
        if kept is None:
            self._format(cluster_id)
        elif not copy_format(kept, data, cluster_id=cluster_id, node_id=self.node.node_id):
            self._format(cluster_id)
            keep_format(data, kept)

    def spawn(self) -> Process:
        """Start the server on the files of `prepare`."""
        self.child = spawn(self._command("kafka.Kafka", str(self._properties)), log=self._output, directory=self.home)
        return Process(self.child.pid, str(self.home))

    @property
    def has_ended(self) -> bool:
        """Whether the server was never started, or has ended."""
        return self.child is None or self.child.poll() is not None

    @property
    def address_is_taken(self) -> bool:
        """Whether the log says that a port was taken by another process between its choice and the start."""
        return "Address already in use" in telling_line([self._log, self._output])

    def failure(self, what: str) -> LocalServicesError:
        """Return an error for this node, with the line of its log that gives the reason."""
        line = telling_line([self._output, self._log])
        name = "Kafka" if len(self._cluster) == 1 else f"Kafka node {self.node.node_id}"
        return LocalServicesError(f"{name} {what}: {line} (its log: {self._log})")

    @property
    def _properties(self) -> Path:
        return self.home / "server.properties"

    @property
    def _log_properties(self) -> Path:
        return self.home / "log4j2.properties"

    def _command(self, main_class: str, *arguments: str) -> list[str]:
        options = (
            f"-Djava.io.tmpdir={self.home / 'tmp'}",
            f"-Dlog4j2.configurationFile={self._log_properties.as_uri()}",
        )
        return [self._java[0], *JVM_OPTIONS, *options, *self._java[1:], main_class, *arguments]

    def _format(self, cluster_id: str) -> None:
        command = self._command("kafka.tools.StorageTool", "format", "--cluster-id", cluster_id)
        formatting = spawn([*command, "-c", str(self._properties)], log=self._output, directory=self.home)
        try:
            if formatting.wait(timeout=READY_WITHIN_S) != 0:
                raise self.failure("could not format its directory")
        except subprocess.TimeoutExpired as error:
            raise self.failure("could not format its directory in time") from error
        finally:
            if formatting.poll() is None:
                formatting.kill()
                formatting.wait()
