"""Environment variables that OpenAI's SDK and its HTTP client read by themselves, checked before a call needs them.

The SDK reads `OPENAI_CUSTOM_HEADERS`, the HTTP client its proxies and `SSL_CERT_FILE`. A mistake in one of them raises
in each call, or when the client is created, long after the start. So a start and `config check` check them here first.
No sentence repeats a value: each of them may hold a password.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from headrace.broker.adapters.openai.address import OPENAI_URL
from headrace.broker.adapters.openai.transport import can_look_up, untrusted

CUSTOM_HEADERS: Final = "OPENAI_CUSTOM_HEADERS"
CERTIFICATES: Final = "SSL_CERT_FILE"
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FRAMING: Final = frozenset(
    {"connection", "content-encoding", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding"}
    | {"upgrade"}
)
"""Headers by which the HTTP client marks the end of a request; another value makes each call be refused or hang."""
_PROXIES: Final = ("http", "https", "all")
_SOCKS: Final = ("socks5", "socks5h")


@dataclass(frozen=True, slots=True)
class Unusable:
    """A fault that prevents all calls: a sentence, and the variable at fault (empty: the setting `openai.base_url`)."""

    sentence: str
    variable: str = ""


def unusable(base_url: str | None, environ: Mapping[str, str]) -> Iterator[Unusable]:
    """Yield everything that would end each call, or the start, with an error of a library.

    Args:
        base_url: the setting; None: OpenAI's own.
        environ: for headers and names of variables; proxies and certificates are those of this process.
    """
    if base_url is not None and not can_look_up(base_url):
        yield Unusable("openai.base_url has no valid host name: it must look like https://HOST:PORT/v1.")
    for why in _headers(environ.get(CUSTOM_HEADERS, "")):
        yield Unusable(f"{CUSTOM_HEADERS} {why}.", CUSTOM_HEADERS)
    yield from _proxies(base_url or OPENAI_URL, environ)
    if why := untrusted():
        yield Unusable(f"{CERTIFICATES} does not name a readable file of certificates ({why}).", CERTIFICATES)


def _headers(text: str) -> Iterator[str]:
    """Yield the faults in headers, `NAME: VALUE` a line, as the SDK reads them."""
    for number, line in enumerate(text.split("\n"), start=1):
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not name and not colon:
            continue
        if not colon:
            yield f"has no colon in line {number}: each line is NAME: VALUE, and the SDK leaves out any other"
        elif _NAME.fullmatch(name) is None:
            yield f"has an invalid header name in line {number}: use letters, digits and -"
        elif name.lower() in _FRAMING:
            yield f"sets {name} in line {number}, which belongs to the HTTP client: leave it out"
        elif not (value.isascii() and value.replace("\t", " ").isprintable()):
            yield f"gives {name} in line {number} a character that HTTP headers do not allow: use printable ASCII"


def _proxies(base_url: str, environ: Mapping[str, str]) -> Iterator[Unusable]:
    """Yield proxies that make the HTTP client raise, or speak the wrong protocol."""
    found = getproxies()
    if "*" in (host.strip() for host in found.get("no", "").split(",")):
        return
    for scheme in _PROXIES:
        url = found.get(scheme)
        if not url:
            continue
        url = url if "://" in url else f"http://{url}"
        named = f"{scheme}_proxy"
        variable = next((name for name in (named, named.upper()) if environ.get(name)), named.upper())
        protocol = url.partition("://")[0].lower()
        if protocol in _SOCKS and scheme != _proxied_by(base_url, found):
            continue  # the client can be created, and no call goes there: it is meant for other programs
        if protocol not in {"http", "https"}:
            yield Unusable(
                f"{variable} is not the URL of an HTTP proxy: it must begin with http:// or https://.", variable
            )
        elif not can_look_up(url, proxy=True):
            yield Unusable(
                f"{variable} is not the URL of a proxy: it must look like http://USER:PASSWORD@HOST:PORT.", variable
            )


def _proxied_by(base_url: str, found: Mapping[str, str]) -> str:
    """Return the proxy that calls go through: that of the URL's scheme or else of all; empty: none."""
    with suppress(ValueError):  # reported for the setting
        to = urlsplit(base_url)
        if not proxy_bypass(to.hostname or ""):
            return next((scheme for scheme in (to.scheme, "all") if found.get(scheme)), "")
    return ""
