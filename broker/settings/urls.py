"""The URLs among the settings, taken apart so that no part of a password is ever read as a host, a port or a path.

A password may be written as it is, with `/`, `#`, `?`, `@` or `[` in it. A URL parser ends the login at the first of
those, takes the rest for an address and repeats it in its errors. So the login is found here first, and everything else
is handed on percent-encoded. No error of this module repeats any part of a URL.
"""

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, Self
from urllib.parse import parse_qs, quote, unquote

REDIS_SCHEMES: Final = ("redis", "rediss", "unix")
_OPTIONS: Final = (
    "client_name|credential_provider|db|encoding|encoding_errors|health_check_interval|legacy_responses|lib_name|lib_version"
    "|max_connections|password|protocol|retry_on_timeout|socket_connect_timeout|socket_keepalive|socket_read_size"
    "|socket_timeout|ssl_[a-z_]+|username"
)
"""Options that redis-py takes behind the `?`. Any other one ends its first connection with a TypeError."""

_HOST: Final = r"(?P<host>[\w.~-]*|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{0,5}))?"
_QUERY: Final = rf"(?:\?(?P<options>(?:(?:{_OPTIONS})=[^&]*(?:&+|$))*))?"
_AS_WRITTEN: Final = re.compile(rf"(?:(?P<login>[^/?#]*)@)?{_HOST}(?P<path>/[^?#@]*)?(?:{_QUERY}|#[^@]*)")
_BEHIND_A_PASSWORD: Final = re.compile(rf"(?![:/?]|$){_HOST}(?P<path>/[0-9]*)?{_QUERY}")
_SOCKET: Final = re.compile(rf"(?P<path>/[^?#]*){_QUERY}")
_HTTP: Final = re.compile(rf"(?:(?P<login>[^/?#]*)@)?(?![:/?#]|$){_HOST}(?P<rest>[/?#].*)?", re.DOTALL)
_OF_A_PATH: Final = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*")
_OF_TLS: Final = re.compile(r"(?:^|&)ssl_")
PORT_MAX: Final = 65_535
_REDIS_SHAPE: Final = (
    "cannot be read: it must look like redis://USER:PASSWORD@HOST:6379/0 or unix://USER:PASSWORD@/PATH, and a password "
    "that makes it ambiguous must be percent-encoded (%2F for /, %23 for #, %3F for ?, %40 for @)"
)
_HTTP_SHAPE: Final = (
    "cannot be read: it must look like https://HOST:PORT/v1, and in a login or path / # ? @ must be percent-encoded "
    "(%2F, %23, %3F, %40)"
)
_SECRET_OPTION: Final = re.compile(r"(?i)((?:^|&)[^=&]*(?:password|token|key|secret)[^=&]*=)[^&]*")
MASK: Final = "***"


class UrlError(ValueError):
    """A URL that cannot be used. The message continues a sentence that begins with its key, and repeats nothing."""


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """The URL of a Redis.

    Attributes:
        scheme: `redis`, `rediss` or `unix`.
        login: None, or `user:password`, `user` or `:password`, as it was written.
        host: Empty for the default, localhost, and for a socket.
        address: Host, port and database, or the path of the socket.
        options: The text behind the `?`; it may hold a password too.
    """

    scheme: str
    login: str | None = field(repr=False)
    host: str
    address: str
    options: str = field(repr=False)

    @classmethod
    def read(cls, url: str) -> Self:
        """Take a URL apart.

        A URL that a standard parser reads without a doubt is read in that way. Otherwise the login ends at the last `@`
        that has an address behind it.

        Raises:
            UrlError: It cannot be read.
        """
        scheme, separator, rest = url.partition("://")
        if not separator or scheme not in REDIS_SCHEMES:
            raise UrlError("must begin with redis://, rediss:// or unix://")
        check_text(url)
        if "\0" in url or url.splitlines() != [url]:
            raise UrlError("holds a line break or a NUL: give it on one line")
        found = _socket(rest) if scheme == "unix" else _server(rest)
        if found is None or int(found.groupdict().get("port") or 0) > PORT_MAX:
            raise UrlError(_REDIS_SHAPE)
        groups = found.groupdict()
        if scheme != "rediss" and _OF_TLS.search(groups["options"] or ""):
            raise UrlError("has ssl_ options behind the ?, which have no effect without TLS: begin it with rediss://")
        login = groups["login"] if groups.get("login") is not None else _before(rest, found)
        port = f":{groups['port']}" if groups.get("port") else ""
        address = f"{groups.get('host') or ''}{port}{groups['path'] or ''}"
        return cls(scheme, login, groups.get("host") or "", address, groups["options"] or "")

    @property
    def has_password(self) -> bool:
        """Whether it holds a password, or a user that may be one."""
        given = parse_qs(self.options)
        return bool(self.login) or "password" in given or "username" in given

    def encoded(self) -> str:
        """Return the URL for any parser: user and password percent-encoded, whatever is in them."""
        login = "" if self.login is None else ":".join(_encoded(part) for part in self.login.split(":", 1)) + "@"
        return f"{self.scheme}://{login}{self.address}{self._query(self.options.replace('#', '%23'))}"

    def masked(self) -> str:
        """Return the URL for display: no password, and no user that may be one."""
        user, colon, _ = (self.login or "").partition(":")
        login = "" if self.login is None else f"{user}:{MASK}@" if colon else f"{MASK}@"
        options = _SECRET_OPTION.sub(rf"\1{MASK}", self.options)
        return f"{self.scheme}://{login}{self.address}{self._query(options)}"

    @staticmethod
    def _query(options: str) -> str:
        return f"?{options}" if options else ""


@dataclass(frozen=True, slots=True)
class HttpUrl:
    """The URL of an HTTP service; `login` as it was written, `rest` the path and what follows."""

    scheme: str
    login: str | None = field(repr=False)
    host: str
    address: str
    rest: str = field(repr=False)

    @classmethod
    def read(cls, url: str) -> Self:
        """Take a URL apart.

        Raises:
            UrlError: It cannot be read, or not without a doubt.
        """
        scheme, separator, rest = url.partition("://")
        if not separator or scheme not in {"http", "https"}:
            raise UrlError("must begin with http:// or https://")
        check_text(url)
        if not url.isprintable():
            raise UrlError("holds a line break or another character that URLs do not allow: leave it out")
        found = _HTTP.fullmatch(rest)
        if found is None or int(found["port"] or 0) > PORT_MAX or re.search(r"[^/]@", found["rest"] or ""):
            raise UrlError(_HTTP_SHAPE)
        if _OF_A_PATH.fullmatch(found["rest"] or "") is None:
            raise UrlError(
                "holds a character after its host that URLs do not allow, such as a space or a quotation mark: "
                "leave it out, or percent-encode it"
            )
        port = f":{found['port']}" if found["port"] else ""
        return cls(scheme, found["login"], found["host"], f"{found['host']}{port}", found["rest"] or "")

    def masked(self) -> str:
        """Return the URL for display: no password, and no value behind the `?`, where gateways may take keys."""
        user, colon, _ = (self.login or "").partition(":")
        login = "" if self.login is None else f"{user}:{MASK}@" if colon else f"{MASK}@"
        path, mark, query = self.rest.partition("?")
        values = re.sub(r"([^=&]+=|)[^&]+", rf"\1{MASK}", query)
        return f"{self.scheme}://{login}{self.address}{path.partition('#')[0]}{mark}{values}"


def is_loopback(host: str) -> bool:
    """Return whether an address is this machine's alone, by its name; nothing is looked up."""
    bare = host.strip("[]").lower().rstrip(".")
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    try:
        return ip_address(bare).is_loopback
    except ValueError:
        return False


def check_text(secret: str) -> None:
    """Raise UrlError for halves of surrogate pairs, which Python makes of bytes that are not UTF-8."""
    if any("\ud800" <= letter <= "\udfff" for letter in secret):
        raise UrlError("holds bytes that are not UTF-8: write it in UTF-8")


def _server(rest: str) -> re.Match[str] | None:
    """Find the address as a standard parser does, or else the one behind the last `@` that has an address behind it."""
    if found := _AS_WRITTEN.fullmatch(rest):
        return found
    ends = [at for at, letter in enumerate(rest) if letter == "@"]
    return next((found for at in reversed(ends) if (found := _BEHIND_A_PASSWORD.fullmatch(rest, at + 1))), None)


def _socket(rest: str) -> re.Match[str] | None:
    """Find a socket's path: at the beginning, behind the first `@` that ends a plain login, or behind the last one."""
    plain = re.match(r"[^/?#]*@(?=/)", rest)
    starts = [0] if rest.startswith("/") else [plain.end()] if plain else [rest.rfind("@/") + 1 or len(rest)]
    return _SOCKET.fullmatch(rest, starts[0])


def _before(rest: str, found: re.Match[str]) -> str | None:
    return rest[: found.start() - 1] if found.start() else None


def _encoded(part: str) -> str:
    return quote(unquote(part), safe="")
