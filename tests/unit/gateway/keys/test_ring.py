"""The keys in force: found by header, and read again when the file changes."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from headrace.broker.gateway.keys.file import KeyFileError
from headrace.broker.gateway.keys.refusals import KeyFault, KeyRefusedError
from headrace.broker.gateway.keys.ring import KeyRing
from tests.unit.gateway.keys.key_files import key, table
from tests.virtual_time import VIRTUAL_TIME

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


def ring_of(path: Path, text: str) -> KeyRing:
    path.write_text(text)
    path.chmod(0o600)
    ring = KeyRing(path, utc_now=lambda: NOW)
    ring.open()
    return ring


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def name_of(ring: KeyRing, seed: int) -> str | None:
    try:
        return ring.find(f"Bearer {key(seed)}").name
    except KeyRefusedError:
        return None


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", " Bearer", "Bearer  "])
def test_a_key_is_found_behind_its_scheme_in_any_case(path: Path, scheme: str) -> None:
    assert ring_of(path, table("a", 1)).find(f"{scheme} {key(1)} ").name == "a"


def test_the_header_of_azure_counts_where_the_other_shows_no_key(path: Path) -> None:
    ring = ring_of(path, table("a", 1) + table("b", 2))
    assert ring.find(None, key(2)).name == "b"
    assert ring.find("Basic dTpw", key(2)).name == "b"
    assert ring.find(f"Bearer {key(1)}", key(2)).name == "a"


@pytest.mark.parametrize(
    ("authorization", "api_key", "fault"),
    [
        (None, None, KeyFault.MISSING),
        ("", "", KeyFault.MISSING),
        ("Bearer", None, KeyFault.MISSING),
        ("Bearer  ", " ", KeyFault.MISSING),
        ("Basic dTpw", None, KeyFault.MALFORMED),
        (key(1), None, KeyFault.MALFORMED),
        (f'Bearer "{key(1)}"', None, KeyFault.UNKNOWN),
        (f"Bearer {key(1)} {key(1)}", None, KeyFault.MALFORMED),
        (f"Bearer {key(1)}\n", None, KeyFault.MALFORMED),
        (f"Bearer {key(1)[:-1]}", None, KeyFault.MALFORMED),
        (f"Bearer {key(1)[:20]}x{key(1)[21:]}", None, KeyFault.MALFORMED),
        ("Bearer \udcff\udcfe", None, KeyFault.MALFORMED),
        ("Bearer \u00fc", None, KeyFault.MALFORMED),
        ("Bearer " + "x" * 100_000, None, KeyFault.MALFORMED),
        (f"Bearer {key(2)}", None, KeyFault.UNKNOWN),
        ("Bearer sk-proj-x", None, KeyFault.UNKNOWN),
        (None, "\x00", KeyFault.MALFORMED),
    ],
)
def test_any_other_header_is_refused_and_not_repeated(
    path: Path, authorization: str | None, api_key: str | None, fault: KeyFault
) -> None:
    ring = ring_of(path, table("a", 1))
    with pytest.raises(KeyRefusedError) as refused:
        ring.find(authorization, api_key)
    assert refused.value.fault is fault
    assert key(1)[3:15] not in str(refused.value)
    assert key(2)[3:15] not in str(refused.value)


@pytest.mark.parametrize(
    ("not_after", "is_valid"),
    [("2026-12-01T12:00:00Z", True), ("2026-12-01T11:59:59.999Z", False), ("2026-12-01", True), ("2026-11-30", False)],
)
def test_a_key_expires_after_its_last_instant(path: Path, not_after: str, *, is_valid: bool) -> None:
    ring = ring_of(path, table("a", 1, members=f"not_after = {not_after}"))
    if is_valid:
        assert ring.find(f"Bearer {key(1)}").name == "a"
        return
    with pytest.raises(KeyRefusedError) as refused:
        ring.find(f"Bearer {key(1)}")
    assert refused.value.fault is KeyFault.EXPIRED


def test_new_content_counts_once_two_looks_have_seen_it(path: Path) -> None:
    ring = ring_of(path, table("a", 1))
    path.write_text(table("a", 1)[:3])  # an editor writes
    ring.look()
    path.write_text(table("a", 2))
    ring.look()
    assert (name_of(ring, 1), name_of(ring, 2), ring.trouble) == ("a", None, None)
    ring.look()
    assert (name_of(ring, 1), name_of(ring, 2)) == (None, "a")


def test_a_change_that_keeps_time_size_and_inode_is_seen(path: Path) -> None:
    ring = ring_of(path, table("a", 1))
    before = path.stat()
    path.write_text(table("a", 2))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (before.st_size, before.st_ino, before.st_mtime_ns) == (after.st_size, after.st_ino, after.st_mtime_ns)
    ring.look()
    ring.look()
    assert name_of(ring, 2) == "a"


def test_a_mount_that_swaps_links_is_followed(tmp_path: Path) -> None:
    """As Kubernetes does it: keys.toml -> ..data/keys.toml, ..data -> ..2026_01, and a rename of ..data."""
    for version, seed in (("..2026_01", 1), ("..2026_02", 2)):
        (tmp_path / version).mkdir()
        (tmp_path / version / "keys.toml").write_text(table("a", seed))
        (tmp_path / version / "keys.toml").chmod(0o600)
    (tmp_path / "..data").symlink_to("..2026_01")
    (tmp_path / "keys.toml").symlink_to("..data/keys.toml")
    ring = KeyRing(tmp_path / "keys.toml", utc_now=lambda: NOW)
    ring.open()
    assert name_of(ring, 1) == "a"
    (tmp_path / "..data_tmp").symlink_to("..2026_02")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    ring.look()
    ring.look()
    assert (name_of(ring, 1), name_of(ring, 2)) == (None, "a")


@pytest.mark.parametrize("broken", ["[keys.a]\ntenant = 1", "not toml", "", None])
def test_a_broken_file_keeps_the_keys_and_is_logged_once(path: Path, broken: str | None) -> None:
    ring = ring_of(path, table("a", 1))
    if broken is None:
        path.unlink()
    else:
        path.write_text(broken)
    with capture_logs() as logs:
        for _ in range(5):
            ring.look()
    assert name_of(ring, 1) == "a"
    assert ring.trouble is not None
    assert [(log["event"], log["log_level"], log["reason"]) for log in logs] == [
        ("keys_unreadable", "error", ring.trouble)
    ]
    path.write_text(table("a", 1))
    ring.look()
    assert ring.trouble is None


def test_the_trouble_of_a_broken_file_is_told_again_after_another_one(path: Path) -> None:
    ring = ring_of(path, table("a", 1))
    path.write_text("not toml")
    ring.look()
    ring.look()
    told = ring.trouble
    path.rename(path.with_name("away"))
    ring.look()
    assert ring.trouble != told
    path.with_name("away").rename(path)
    ring.look()
    assert ring.trouble == told


def test_the_last_key_can_be_taken_away(path: Path) -> None:
    ring = ring_of(path, table("a", 1))
    path.write_text("[keys]\n")
    ring.look()
    ring.look()
    assert (name_of(ring, 1), ring.trouble, list(ring.keys)) == (None, None, [])


@pytest.mark.parametrize("kind", ["missing", "directory", "pipe", "nul"])
def test_a_path_that_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    at = tmp_path / ("keys\0" if kind == "nul" else kind)
    if kind == "directory":
        at.mkdir()
    if kind == "pipe":
        os.mkfifo(at)
    with pytest.raises(KeyFileError, match=r"^The key file .* (cannot be read|is not a regular file)"):
        KeyRing(at, utc_now=lambda: NOW).open()


@pytest.mark.parametrize(
    ("mode", "said"), [(0o600, []), (0o640, []), (0o644, ["can be read by every user"]), (0o666, ["can be written by"])]
)
def test_a_file_that_others_may_change_or_read_is_warned_of_once(path: Path, mode: int, said: list[str]) -> None:
    path.write_text(table("a", 1))
    path.chmod(mode)
    ring = KeyRing(path, utc_now=lambda: NOW)
    with capture_logs() as logs:
        ring.open()
        ring.look()
    warned = [log["reason"] for log in logs if log["log_level"] == "warning"]
    assert len(warned) == len(said)
    assert all(part in sentence for part, sentence in zip(said, warned, strict=True))


def test_no_key_and_no_hash_is_in_a_log_or_a_repr(path: Path) -> None:
    with capture_logs() as logs:
        ring = ring_of(path, table("a", 1))
        path.write_text(f'[keys.b]\nhashes = ["{key(7)}"]\n')
        ring.look()
        ring.look()
    told = f"{logs} {ring!r} {list(ring.keys)} {ring.trouble}"
    assert key(7)[3:] not in told
    assert key(1)[3:] not in told
    assert "sha256:" not in told.replace("`sha256:`", "")


@VIRTUAL_TIME
async def test_a_removed_key_stops_working_within_three_seconds(path: Path) -> None:
    ring = ring_of(path, table("a", 1) + table("b", 2))
    following = asyncio.create_task(ring.follow())
    await asyncio.sleep(10.5)
    await asyncio.to_thread(path.write_text, table("b", 2))
    await asyncio.sleep(3)
    assert (name_of(ring, 1), name_of(ring, 2)) == (None, "b")
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
