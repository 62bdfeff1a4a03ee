"""A forked child that reports what a function of it returned, or raised."""

import json
import os
import select
import sys
import traceback
from collections.abc import Callable
from typing import Any

WITHIN_S = 20.0


def in_a_child(work: Callable[[], Any], fork: Callable[[], int] = os.fork) -> Any:
    """Fork, call `work` there, and return what it returned; the child ends without the interpreter's end."""
    reading, writing = os.pipe()
    if (pid := fork()) == 0:
        told: dict[str, Any] = {"error": "the child ended early"}
        try:
            told = {"result": work()}
        except BaseException:  # noqa: BLE001  # the parent is told
            told = {"error": traceback.format_exc()}
        finally:
            os.write(writing, json.dumps(told).encode())
            sys.stdout.flush()
            os._exit(0)
    os.close(writing)
    try:
        if not select.select([reading], [], [], WITHIN_S)[0]:
            os.kill(pid, 9)
            raise AssertionError("the child hangs")
        said = json.loads(os.read(reading, 1_000_000))
    finally:
        os.close(reading)
        os.waitpid(pid, 0)
    assert "error" not in said, said["error"]
    return said["result"]
