"""A verb as a process whose standard error, and output if wanted, is a terminal of some width."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence


def on_a_terminal(arguments: Sequence[str], columns: int, *, out: bool) -> tuple[int, str]:
    """The exit code, and all that was written to the terminal."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environ = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": "xterm-256color"}
    command = (sys.executable, "-m", "headrace.broker.cli.main", *arguments)
    ended = subprocess.Popen(
        command, env=environ, stdin=its, stdout=its if out else subprocess.DEVNULL, stderr=its, close_fds=True
    )
    os.close(its)
    told = b""
    try:
        while piece := os.read(ours, 65_536):
            told += piece
    except OSError:
        pass  # as Linux says that the last process has closed it
    os.close(ours)
    return ended.wait(), told.decode().replace("\r\n", "\n")
