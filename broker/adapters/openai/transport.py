"""HTTP transport of the OpenAI adapter: aiohttp under httpx2, with bounds on everything that the server decides.

OpenAI may be replaced by a gateway, a proxy or a broken server, and its answers must not decide how much memory or time
this process spends, where it sends a prompt, or which exception ends it. So here, and only here:

- *Headers*: at most `HEADERS_MAX` of at most `HEADER_BYTES_MAX` bytes, and `INTERIM_MAX` interim (1xx) answers.
- *Bodies*: `body_bytes_max` bytes, as received and as decompressed; of a refusal the first `REFUSAL_BYTES_MAX`, from
  which an error's text is read. Gzip and deflate are inflated piece by piece, one layer of them: nested layers can
  inflate for minutes to nothing. Any other encoding is passed on as it is and is not JSON.
- *Redirects* are answers like others: a 307 would send the prompt to any address that the answer names.
- *Cookies* are not kept: one with a control character in it would make every later request unsendable, and no API needs
  them.
- *Connections* carry one answer for each request. Bytes that arrive on an idle connection, or behind an answer, close
  it: the next request on it would take them for its own answer. So does an answer that does not say where it ends.
  Bytes that arrive only after the next request was sent cannot be told from its answer: HTTP/1.1 has no request ids.

Any other exception of aiohttp becomes `Unanswered`: it comes from parsing the server's data.
"""

import asyncio
import functools
import os
import ssl
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import aiohttp
import httpx2
from aiohttp.client_proto import ResponseHandler

from headrace.broker.adapters.openai.event_stream import AnswerTooLarge

HEADERS_MAX: Final = 128
"""Header lines of one answer; OpenAI and the proxies before it send about thirty."""
HEADER_BYTES_MAX: Final = 8_190
"""Limit of one header line; with `HEADERS_MAX` a megabyte, held while its call is judged."""
INTERIM_MAX: Final = 32
"""Interim answers (100 Continue, 103 Early Hints) before the answer; a proper server sends none or two."""
REFUSAL_BYTES_MAX: Final = 256 * 1024
"""Bytes read of a refusal; its text is examined up to 64 KiB (`headrace.broker.core.answers.error_body`)."""
_PIECE_BYTES: Final = 64 * 1024
_CONNECT_WITHIN_S: Final = 5.0
_REASON_CHARS_MAX: Final = 300
_ERRORS_FROM: Final = 300
_PORT_MAX: Final = 65_535
_BODILESS: Final = frozenset({101, 204, 205, 304})
"""Statuses without a body; if a server sends one all the same, the next request on that connection gets it."""
_WRAPPERS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_NOT_PASSED_ON: Final = frozenset({b"set-cookie", b"content-encoding", b"content-length", b"transfer-encoding"})


class Unanswered(Exception):  # noqa: N818 — a call's result, as the core names it, and no fault of ours
    """A call without an answer; `code` is `timeout` or `connection`."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class StatusError(Exception):
    """An answer with another status than 2xx, with all of it that is examined."""

    def __init__(self, status: int, headers: dict[str, str], text: str) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.headers = headers
        self.text = text


class BoundedClient(httpx2.AsyncClient):
    """An httpx2 client on `AnswerTransport`, also where the environment names a proxy."""

    def __init__(self, *, connections_max: int, body_bytes_max: int) -> None:
        """`body_bytes_max` bounds the longest stream; a reader of whole answers stops sooner."""
        self._connections_max = connections_max
        self._body_bytes_max = body_bytes_max
        super().__init__(follow_redirects=False, timeout=None)

    def _init_transport(self, *_: Any, **__: Any) -> httpx2.AsyncBaseTransport:
        return AnswerTransport(self._connections_max, self._body_bytes_max)

    def _init_proxy_transport(self, proxy: httpx2.Proxy, *_: Any, **__: Any) -> httpx2.AsyncBaseTransport:
        return AnswerTransport(self._connections_max, self._body_bytes_max, proxy=proxy)


class AnswerTransport(httpx2.AsyncBaseTransport):
    """One session of aiohttp, created with the first request, since it belongs to the running loop."""

    def __init__(self, connections_max: int, body_bytes_max: int, *, proxy: httpx2.Proxy | None = None) -> None:
        """`proxy` is the one between this process and OpenAI, if the environment names one."""
        self._connections_max = connections_max
        self._body_bytes_max = body_bytes_max
        self._proxy = proxy
        self._tls = _trusted()
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; return a 2xx answer with its body unread.

        Raises:
            Refused: Another status came.
            Unanswered: No answer came, or none that could be read.
        """
        if self._session is None:
            self._session = _session(self._connections_max, self._tls)
        answer = await _asked(self._session, request, self._proxy)
        body = _Body(answer, self._body_bytes_max)
        if 200 <= answer.status < _ERRORS_FROM:
            headers = [pair for pair in answer.raw_headers if pair[0].lower() not in _NOT_PASSED_ON]
            return httpx2.Response(answer.status, headers=headers, stream=body, request=request)
        try:
            text = await body.beginning(REFUSAL_BYTES_MAX)
        finally:
            await body.aclose()
        told = httpx2.Headers([pair for pair in answer.raw_headers if pair[0].lower() != b"set-cookie"])
        raise StatusError(answer.status, dict(told), text.decode("utf-8-sig", errors="replace"))

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()


def _session(connections_max: int, tls: ssl.SSLContext) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=connections_max, ssl=tls)
    line: Any = functools.partial(_CheckedConnection, loop=asyncio.get_running_loop())
    connector._factory = line  # noqa: SLF001 — aiohttp has no public way to it; tests/hostile/test_upstream_door.py fails without
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        max_headers=HEADERS_MAX,
        max_field_size=HEADER_BYTES_MAX,
        max_line_size=HEADER_BYTES_MAX,
        read_bufsize=_PIECE_BYTES,
    )


def can_look_up(url: str, *, proxy: bool = False) -> bool:
    """Whether a URL can be parsed and its host be looked up; for a proxy, also whether its login can be sent."""
    try:
        read = httpx2.URL(url)
        read.raw_host.decode("ascii").encode("idna")
        if proxy and ":" in read.username:  # which Basic authentication cannot send
            return False
    except (httpx2.InvalidURL, ValueError):
        return False
    return bool(read.host) and (read.port is None or 0 < read.port <= _PORT_MAX)


def untrusted() -> str:
    """Return why the certificates that the environment names cannot be used; empty if they can, or it names none."""
    try:
        _trusted()
    except OSError as error:  # ssl.SSLError too
        return error.strerror or type(error).__name__
    return ""


def _trusted() -> ssl.SSLContext:
    """Return the certificates that the environment names, or the usual ones: read once, as that takes 20 ms."""
    return _read_certificates(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@functools.lru_cache(maxsize=1)
def _read_certificates(_file: str | None, _directory: str | None) -> ssl.SSLContext:
    return httpx2.create_ssl_context()


async def _asked(
    session: aiohttp.ClientSession, request: httpx2.Request, proxy: httpx2.Proxy | None
) -> aiohttp.ClientResponse:
    login = None if proxy is None or proxy.auth is None else aiohttp.BasicAuth(*proxy.auth, "utf-8")
    try:
        return await session.request(
            request.method,
            str(request.url.copy_with(userinfo=b"")),  # httpx2 has made a header of it; aiohttp refuses both
            headers=request.headers,
            data=request.content or None,
            allow_redirects=False,
            auto_decompress=False,
            compress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_WITHIN_S),
            proxy=None if proxy is None else str(proxy.url),
            proxy_auth=login,
            proxy_headers=None if proxy is None else proxy.headers,
        )
    except Exception as error:
        raise _unanswered(error) from error


def _unanswered(error: Exception) -> Unanswered:
    """Convert any exception of aiohttp to data: the server's data caused it. The innermost cause says the most."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    code = "timeout" if isinstance(error, TimeoutError) else "connection"
    return Unanswered(code, f"{type(error).__name__}: {error}"[:_REASON_CHARS_MAX])


class _CheckedConnection(ResponseHandler):
    """One connection: as aiohttp's, but a second or unrequested answer ends it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._interim = 0
        self._answer: Any = None  # the body of the answer to the request in flight

    def set_response_params(self, **params: Any) -> None:
        """Reset the state for a request about to be sent here."""
        self._interim, self._answer = 0, None
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Close the connection for bytes behind an answer, else pass them on."""
        if data and self._answer is not None and self._answer.is_eof():
            self.close()  # behind an answer, or long after it: in either case not the next one's
            return
        super().data_received(data)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Take the head of an answer, interim or not."""
        message, body = data
        if self._answer is not None:
            self.close()
            return
        if 100 <= message.code < 200 and message.code != 101:
            self._interim += 1
            if self._interim > INTERIM_MAX:
                self._answer = body  # anything behind it is no answer
                self.set_exception(aiohttp.ClientPayloadError("too many interim answers"))
                self.close()
                return
        else:
            self._answer = body
            if message.code in _BODILESS or not (message.chunked or "content-length" in message.headers):
                self.force_close()
        super().feed_data(data, size)


class _Body(httpx2.AsyncByteStream):
    """An answer's body, inflated, within its bound."""

    def __init__(self, answer: aiohttp.ClientResponse, bytes_max: int) -> None:
        self._answer = answer
        self._bytes_max = bytes_max

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield pieces of at most 64 KiB.

        Raises:
            AnswerTooLarge: There is more than its bound, as received or inflated.
            Unanswered: It broke off.
        """
        received = inflated = 0
        inflate = _Inflating(self._answer.headers.get("content-encoding", ""))
        while piece := await self._read():
            received += len(piece)
            for part in inflate.pieces(piece):
                inflated += len(part)
                if max(received, inflated) > self._bytes_max:
                    raise AnswerTooLarge(max(received, inflated))
                yield part
            if received > self._bytes_max:
                raise AnswerTooLarge(received)

    async def _read(self) -> bytes:
        try:
            return await self._answer.content.read(_PIECE_BYTES)
        except Exception as error:
            raise _unanswered(error) from error

    async def beginning(self, bytes_max: int) -> bytes:
        """Read the beginning, at most `bytes_max` bytes; a body that breaks off is returned as far as it came."""
        begun, self._bytes_max = bytearray(), bytes_max
        try:
            async for part in self:
                begun += part
        except (AnswerTooLarge, Unanswered):
            pass
        return bytes(begun[:bytes_max])

    async def aclose(self) -> None:
        """Return the connection to the pool if all was read, else close it."""
        if self._answer.content.at_eof():
            self._answer.release()
        else:
            self._answer.close()


class _Inflating:
    """One layer of gzip or deflate, piece by piece; any other encoding passes unchanged."""

    def __init__(self, encoding: str) -> None:
        wrapper = _WRAPPERS.get(encoding.strip().lower())
        self._inflater = None if wrapper is None else zlib.decompressobj(wrapper)
        self._bare = wrapper == _WRAPPERS["deflate"]  # some servers omit the two-byte header

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Yield the inflated pieces of the next bytes.

        Raises:
            Unanswered: They are not what the headers say they are.
        """
        if self._inflater is None:
            yield data
            return
        try:
            part = self._inflater.decompress(data, _PIECE_BYTES)
        except zlib.error as error:
            if not self._bare:
                raise Unanswered("connection", f"the body cannot be decompressed: {error}") from None
            self._bare, self._inflater = False, zlib.decompressobj(-zlib.MAX_WBITS)
            yield from self.pieces(data)
            return
        self._bare = False
        while part:
            yield part
            try:
                part = self._inflater.decompress(self._inflater.unconsumed_tail, _PIECE_BYTES)
            except zlib.error as error:
                raise Unanswered("connection", f"the body cannot be decompressed: {error}") from None
