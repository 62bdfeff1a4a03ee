"""First page of a retrier: what it does, what waits, and where the live page is. Plain HTML, made on demand."""

import contextlib
import html
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from string import Template
from typing import Any, Final

from aiohttp import web

from headrace.broker.errors import LeaseUnavailable
from headrace.broker.service.metrics.escapes import safe
from headrace.broker.service.page.assets import asset
from headrace.broker.service.page.finder import plain_address
from headrace.broker.service.status.reading import read_report

_ROLES: Final = {
    "leader": "This one does the work.",
    "standby": "This one stands by and takes over if the other one dies.",
}
_NUMBERED: Final = frozenset({"pid", "term"})
"""Numbers that are names, and have no thousands."""
_TEXT_CHARS_MAX: Final = 300


@dataclass(frozen=True, slots=True)
class RetrierPage:
    """The page.

    Attributes:
        status: Returns this process's status.
        leaders_status: Returns what the leading dispatcher left in Redis, or None.
    """

    status: Callable[[], Mapping[str, Any]]
    leaders_status: Callable[[], Awaitable[str | None]]

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the page."""
        return [web.get("/", self._page)]

    async def close(self) -> None:
        """Nothing stays open."""

    async def _page(self, _: web.Request) -> web.Response:
        page, told = asset("retrier.html"), self.status()
        text = Template(page.html).substitute(
            prefix=_text(told.get("topic_prefix")),
            role=_ROLES.get(str(told.get("role")), f"It is {_text(told.get('role'))}."),
            figures="".join(_rows(told)),
            live=await self._live(),
        )
        return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": page.policy})

    async def _live(self) -> str:
        """Return the sentence on the live page, with a link if the leader reports its address."""
        left = None
        with contextlib.suppress(LeaseUnavailable):
            left = await self.leaders_status()
        said = read_report(left)
        address = None if said is None else plain_address(said.get("url"))
        if address is None:
            return "Every dispatcher serves the live page at its own port."
        link = f'<a href="{_text(address)}/">the leading dispatcher</a>'
        return f"Lanes and limits are on the live page of {link}."


def _rows(told: Mapping[str, Any]) -> list[str]:
    """Return a row for each figure, with those of tables in the row of their table."""
    rows: list[str] = []
    for name, value in told.items():
        if value is not None and not isinstance(value, list):
            shown = str(value) if name in _NUMBERED else _plain(value)
            rows.append(f"<dt>{_text(name).replace('_', ' ')}</dt><dd>{_text(shown)}</dd>")
    return rows


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(each)}" for key, each in value.items()) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _text(value: Any) -> str:
    """Return foreign text as HTML; nothing in it acts."""
    return html.escape(safe(str(value))[:_TEXT_CHARS_MAX])
