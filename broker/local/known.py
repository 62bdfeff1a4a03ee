"""The pairs this user has started: a note in the cache directory names their directories."""

from pathlib import Path

from headrace.broker.local.cache import cache_dir
from headrace.broker.local.processes import running_in
from headrace.broker.local.record import read_record


def note(home: Path) -> None:
    """Record that a pair has been started there; from now on it is the last one."""
    kept = [each for each in noted() if each != home and _is_there(each)]
    file = cache_dir() / "pairs"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{each}\n" for each in (*kept, home)), encoding="utf-8")
    (cache_dir() / "last").write_text(str(home), encoding="utf-8")  # the former release reads this file


def noted() -> list[Path]:
    """Return the directories where pairs have been started, the last one last; some may have ended."""
    homes = [unnamed()]
    for name in ("last", "pairs"):
        try:
            lines = (cache_dir() / name).read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            continue
        homes += [Path(line) for line in lines if line]
    return list(dict.fromkeys(reversed(homes)))[::-1]


def known() -> list[Path]:
    """Return the directories where a pair is on record or runs, the last one last."""
    return [home for home in noted() if _is_there(home)]


def unnamed() -> Path:
    """Return the directory of the pair for which none was named."""
    return cache_dir() / "local"


def _is_there(home: Path) -> bool:
    return read_record(home) is not None or bool(running_in(home))
