"""Where this machine's pip fetches from, as a pip.conf for the build.

The build asks the same index, through the same proxy, and trusts the same certificates. The Dockerfile takes the file
as a secret, so nothing of it is in the image; what pip is told about anything else stays behind.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

_PASSED_ON = {
    *("index-url", "extra-index-url", "trusted-host", "proxy", "cert", "client-cert"),
    *("timeout", "default-timeout", "retries"),
}
_OTHERS_NAMES_FOR_CERT = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def fetching() -> dict[str, str]:
    """Option to value, the environment's over the files', as pip itself has it."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    lines = sorted(listed.stdout.splitlines(), key=lambda line: line.startswith(":env:"))
    told = {
        key.rpartition(".")[2]: str(ast.literal_eval(value)) for key, _, value in (one.partition("=") for one in lines)
    }
    given = {option: value for option, value in told.items() if option in _PASSED_ON}
    for name in _OTHERS_NAMES_FOR_CERT:
        if os.environ.get(name):
            given.setdefault("cert", os.environ[name])
    return given


def as_file(options: dict[str, str]) -> str:
    """The options as a pip.conf; a value of several lines is indented, or it would be read as options."""
    lines = [
        f"{option} = {value.strip().replace(chr(10), chr(10) + '  ')}" for option, value in sorted(options.items())
    ]
    return "\n".join(["[global]", *lines, ""])


def files_named(options: dict[str, str]) -> list[Path]:
    """The certificates, which the build must be shown under the same names."""
    return [path for option in ("cert", "client-cert") if (path := Path(options.get(option, ""))).is_file()]
