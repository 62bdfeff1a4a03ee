"""The two servers as far as they can be judged without any: programs that only pretend to be java and valkey."""

import threading
import time
from pathlib import Path

import pytest

from headrace.broker.local.cluster import KafkaCluster
from headrace.broker.local.errors import LocalServicesError
from headrace.broker.local.free_ports import free_ports
from headrace.broker.local.processes import stop
from headrace.broker.local.valkey import Valkey, answers_ping
from headrace.broker.local.waiting import PollTimer


def program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def kafka_with(java: Path, data_dir: Path, nodes: int = 1) -> KafkaCluster:
    ports = free_ports(2 * nodes)
    return KafkaCluster(list(zip(ports[::2], ports[1::2], strict=True)), data_dir, (str(java), "-cp", "jars"))


def test_a_kafka_that_cannot_format_its_directory_shows_why(tmp_path: Path) -> None:
    kafka = kafka_with(program(tmp_path / "java", "echo 'ERROR no space left on device'; exit 1"), tmp_path)
    with pytest.raises(LocalServicesError, match=r"could not format .*ERROR no space left on device .*kafka-1\.log"):
        kafka.prepare()


def test_a_kafka_that_ends_instead_of_starting_shows_why(tmp_path: Path) -> None:
    script = (
        'case "$*" in *StorageTool*) exit 0;; esac; echo "ERROR java.net.BindException: Address already in use"; exit 1'
    )
    kafka = kafka_with(program(tmp_path / "java", script), tmp_path)
    kafka.prepare()
    (node,) = kafka.chosen(())
    node.spawn()
    with pytest.raises(LocalServicesError, match=r"Kafka ended instead of starting: ERROR .*Address already in use"):
        kafka.await_ready([node], threading.Event())
    assert kafka.address_is_taken


def test_a_formatted_directory_is_not_formatted_again(tmp_path: Path) -> None:
    (tmp_path / "kafka-1" / "data").mkdir(parents=True)
    (tmp_path / "kafka-1" / "data" / "meta.properties").touch()
    kafka = kafka_with(program(tmp_path / "java", 'case "$*" in *StorageTool*) exit 1;; esac; sleep 60'), tmp_path)
    kafka.prepare()
    (node,) = kafka.chosen(())
    process = node.spawn()
    assert kafka.processes == {1: process}
    assert kafka.is_running
    stop([process])
    assert not kafka.is_running
    assert node.child is not None
    node.child.wait()


def test_a_start_that_its_owner_gave_up_ends_at_once(tmp_path: Path) -> None:
    valkey = Valkey(program(tmp_path / "valkey-server", "sleep 60"), free_ports(1)[0], tmp_path)
    process = valkey.spawn()
    abandon = threading.Event()
    abandon.set()
    with pytest.raises(LocalServicesError, match="Valkey was not ready"):
        valkey.await_ready(abandon)
    stop([process])
    assert valkey.child is not None
    valkey.child.wait()


def test_a_valkey_that_ends_instead_of_starting_shows_why(tmp_path: Path) -> None:
    valkey = Valkey(program(tmp_path / "valkey-server", "echo 'FATAL bad option'; exit 1"), free_ports(1)[0], tmp_path)
    valkey.spawn()
    with pytest.raises(LocalServicesError, match=r"Valkey ended instead of starting: FATAL bad option .*valkey\.log"):
        valkey.await_ready(threading.Event())
    assert not valkey.address_is_taken
    assert not answers_ping(valkey.port)


def test_patience_ends_with_its_time() -> None:
    patience = PollTimer(0.1, threading.Event())
    began = time.monotonic()
    while patience.pause():
        assert time.monotonic() - began < 1
