import hashlib
import os
import threading
from pathlib import Path

import pytest

from headrace.broker.local.errors import LocalServicesError
from headrace.broker.local.jars import Jar, classpath, ensure_jars, locked_jars, parse_lock


def jar_of(content: bytes, artifact: str = "clients") -> Jar:
    return Jar("org.example", artifact, "1.0", hashlib.sha256(content).hexdigest())


class Repository:
    """What a Maven repository is to us; it counts how often it was asked."""

    def __init__(self, content: bytes, *, failures: int = 0) -> None:
        self.content = content
        self.failures = failures
        self.asked: list[str] = []
        self._lock = threading.Lock()

    def fetch(self, group: str, artifact: str, version: str, into: Path) -> Path:
        with self._lock:
            self.asked.append(f"{group}:{artifact}:{version}")
            if self.failures:
                self.failures -= 1
                raise OSError("connection reset")
        path = into / f"{artifact}.jar"
        path.write_bytes(self.content)
        return path


def test_the_lock_we_ship_names_kafka_and_a_log_binding_and_no_address() -> None:
    jars = {jar.coordinate for jar in locked_jars()}
    assert "org.apache.kafka:kafka_2.13:4.3.1" in jars
    assert "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4" in jars
    assert len({jar.filename for jar in locked_jars()}) == len(jars) == 46


def test_a_lock_is_lines_of_coordinate_and_digest() -> None:
    digest = "0" * 64
    assert parse_lock(f"# why\n\na.b:c_2.13:1.0 sha256:{digest}\n") == (Jar("a.b", "c_2.13", "1.0", digest),)


@pytest.mark.parametrize("line", ["a:b sha256:00", "a:b:1 sha256:xyz", "a:b:1 sha1:00", "a:../b:1 sha256:" + "0" * 64])
def test_a_malformed_line_is_named_by_its_number(line: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        parse_lock(f"# a comment\n{line}\n")


def test_missing_jars_are_fetched_once_and_then_never_again(tmp_path: Path) -> None:
    repository = Repository(b"classes")
    jars = [jar_of(b"classes", "one"), jar_of(b"classes", "two")]
    paths = ensure_jars(jars, tmp_path / "jars", fetch=repository.fetch)
    assert [path.read_bytes() for path in paths] == [b"classes", b"classes"]
    assert ensure_jars(jars, tmp_path / "jars", fetch=repository.fetch) == paths
    assert sorted(repository.asked) == ["org.example:one:1.0", "org.example:two:1.0"]
    assert sorted(path.name for path in (tmp_path / "jars").iterdir()) == sorted(path.name for path in paths)


@pytest.mark.parametrize("damage", [b"", b"class", b"CLASSES"])
def test_a_damaged_jar_is_fetched_again(tmp_path: Path, damage: bytes) -> None:
    jar = jar_of(b"classes")
    (tmp_path / jar.filename).write_bytes(damage)
    (path,) = ensure_jars([jar], tmp_path, fetch=Repository(b"classes").fetch)
    assert path.read_bytes() == b"classes"


def test_a_jar_that_is_not_the_locked_one_never_enters_the_cache(tmp_path: Path) -> None:
    with pytest.raises(LocalServicesError, match=r"org\.example:clients:1\.0 .* sha256 differs") as caught:
        ensure_jars([jar_of(b"classes")], tmp_path, fetch=Repository(b"something else").fetch)
    assert caught.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_fails_twice_is_tried_a_third_time(tmp_path: Path) -> None:
    repository = Repository(b"classes", failures=2)
    ensure_jars([jar_of(b"classes")], tmp_path, fetch=repository.fetch)
    assert len(repository.asked) == 3


def test_a_network_that_stays_away_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LocalServicesError, match=r"could not be fetched .*needs the network"):
        ensure_jars([jar_of(b"classes")], tmp_path, fetch=Repository(b"", failures=99).fetch)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_what_had_to_be_fetched_and_is_silent_otherwise(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    jars = [jar_of(b"classes", name) for name in ("one", "two", "three")]
    (tmp_path / jars[0].filename).write_bytes(b"classes")
    for _ in range(2):
        ensure_jars(
            jars, tmp_path, fetch=Repository(b"classes").fetch, progress=lambda done, total: told.append((done, total))
        )
    assert told == [(0, 2), (1, 2), (2, 2)]


def test_two_fetches_at_once_do_not_damage_each_other(tmp_path: Path) -> None:
    both_inside = threading.Barrier(2)
    repository = Repository(b"classes")

    def fetch(group: str, artifact: str, version: str, into: Path) -> Path:
        path = repository.fetch(group, artifact, version, into)
        both_inside.wait(timeout=1)
        return path

    results: list[list[Path]] = []
    threads = [
        threading.Thread(target=lambda: results.append(ensure_jars([jar_of(b"classes")], tmp_path, fetch=fetch)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[0] == results[1]
    assert results[0][0].read_bytes() == b"classes"


def test_the_class_path_is_what_java_splits(tmp_path: Path) -> None:
    assert classpath([tmp_path / "a.jar", tmp_path / "b.jar"]).split(os.pathsep) == [
        str(tmp_path / "a.jar"),
        str(tmp_path / "b.jar"),
    ]
