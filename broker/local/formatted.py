"""What Kafka's tool writes into an empty directory, kept so that later nodes need no second Java to be formatted.

The tool takes a second of processor time, as long as the node itself takes to start. All that it writes is the feature
levels of its release, in a file that any node may have, and a few names, of which three are a node's own: these are
replaced in the copy. A directory that differs in anything else than those names is made by the tool.
"""

import hashlib
import os
import re
import secrets
import shutil
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path

from headrace.broker.local.jars import Jar

_META = "meta.properties"
_FILES = frozenset({_META, "bootstrap.checkpoint"})


def place_of_format(jars: Sequence[Jar], cache: Path) -> Path:
    """Return the path below `cache` of what these jars' tool wrote."""
    name = hashlib.sha256(repr(sorted(jar.sha256 for jar in jars)).encode()).hexdigest()[:16]
    return cache / "formatted" / name


def random_id() -> str:
    """Return an id of Kafka's: 22 characters, without a leading dash, which a command would read as an option."""
    return "H" + urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")[1:]


def copy_format(kept: Path, data: Path, *, cluster_id: str, node_id: int) -> bool:
    """Format `data` for this node with what is kept; return False, with nothing written, where nothing fits."""
    try:
        meta = (kept / _META).read_text(encoding="utf-8")
        others = {name: (kept / name).read_bytes() for name in _FILES - {_META}}
    except FileNotFoundError:
        return False
    for name, value in {"cluster.id": cluster_id, "directory.id": random_id(), "node.id": str(node_id)}.items():
        meta, found = re.subn(rf"^{re.escape(name)}=.*$", f"{name}={value}", meta, flags=re.MULTILINE)
        if found != 1:
            return False
    data.mkdir(parents=True, exist_ok=True)
    for name, content in others.items():
        (data / name).write_bytes(content)
    (data / _META).write_text(meta, encoding="utf-8")  # the last: with it the directory is formatted
    return True


def keep_format(data: Path, kept: Path) -> None:
    """Keep what the tool has just written into `data`, unless it is kept already or is more than is known of."""
    if kept.exists() or {file.name for file in data.iterdir()} != _FILES:
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    being_written = Path(tempfile.mkdtemp(prefix="keeping-", dir=kept.parent))
    try:
        for name in _FILES:
            with (being_written / name).open("xb") as file:
                file.write((data / name).read_bytes())
                file.flush()
                os.fsync(file.fileno())  # or a power cut could leave a file that is there and empty, for good
        os.rename(being_written, kept)  # noqa: PTH104  a directory that another start has kept meanwhile is not replaced
    except OSError:
        # The next start formats as this one did: by the tool.
        shutil.rmtree(being_written, ignore_errors=True)
