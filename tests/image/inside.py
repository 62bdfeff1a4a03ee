"""Runs inside a container, from standard input: prints as JSON what only the process there can know."""

import json
import os
import sys
from pathlib import Path

from headrace.broker.adapters.tiktoken_counter import TiktokenCounter

TEXTS = (
    ("gpt-4o-mini", "Dear Ms Ødegård, 我们 saw your new plant 🏭."),
    ("gpt-4", "<|endoftext|> is plain text here."),
)


def tell() -> dict[str, object]:
    """What the process is, what it may do, and what it counts."""
    counter = TiktokenCounter()
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    return {
        "uid": os.getuid(),
        "gids": sorted({os.getgid(), *os.getgroups()}),
        "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16),
        "safe_path": sys.flags.safe_path,
        "writes_bytecode": not sys.dont_write_bytecode,
        "interfaces": sorted(os.listdir("/sys/class/net")),  # noqa: PTH208 - names only
        "writable": [path for path in ("/", "/tmp", "/opt/headrace", "/run", ".") if os.access(path, os.W_OK)],  # noqa: S108 - asked about, not used
        "tokens": [counter.count(model, text) for model, text in TEXTS],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(tell()))
