from pathlib import Path

import pytest

from headrace.broker.local.cache import cache_dir


def test_the_override_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADRACE_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache_dir() == tmp_path


def test_on_linux_it_is_the_xdg_directory_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADRACE_CACHE_DIR", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_dir() == Path("/caches/headrace")


@pytest.mark.parametrize("unusable", ["", "relative/path"])
def test_without_a_usable_xdg_directory_it_is_below_home(monkeypatch: pytest.MonkeyPatch, unusable: str) -> None:
    monkeypatch.delenv("HEADRACE_CACHE_DIR", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("XDG_CACHE_HOME", unusable)
    assert cache_dir() == Path("/home/ada/.cache/headrace")


def test_on_a_mac_it_is_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADRACE_CACHE_DIR", raising=False)
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setenv("HOME", "/Users/ada")
    assert cache_dir() == Path("/Users/ada/Library/Caches/headrace")
