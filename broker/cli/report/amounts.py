"""Tokens, money and shares as a table shows them: three or four digits, and never a zero for what is not one."""

from typing import Final

from headrace.schemas.money import PICO_PER_USD

NONE: Final = "-"


def spoken_tokens(count: float | None) -> str:
    """Format an amount: `12,345`, `123 k`, `1.23 M`, `12.3 G`."""
    if count is None:
        return NONE
    if count < 100_000:
        return f"{count:,.0f}"
    for factor, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        amount = count / factor
        if amount >= 0.9995:
            return (
                f"{amount:.2f} {unit}"
                if amount < 9.995
                else f"{amount:.1f} {unit}"
                if amount < 99.95
                else f"{amount:.0f} {unit}"
            )
    return f"{count:,.0f}"


def spoken_usd(pico_usd: float | None) -> str:
    """Format money: `$1,234`, `$12.34`, `$0.123`, `$0.0000123`."""
    if pico_usd is None:
        return NONE
    usd = pico_usd / PICO_PER_USD
    if usd == 0:
        return "$0"
    if usd >= 1:
        return f"${usd:,.0f}" if usd >= 1_000 else f"${usd:,.2f}"
    if usd < 0.000_000_1:
        return "<$0.0000001"
    decimals = 2
    while usd * 10**decimals < 100 and decimals < 9:
        decimals += 1
    return f"${usd:.{decimals}f}"


def spoken_share(share: float | None) -> str:
    """Format a share: `12.3 %`, `<0.1 %`, `100 %`."""
    if share is None:
        return NONE
    if 0 < share < 0.000_5:
        return "<0.1 %"
    return f"{share:.0%}".replace("%", " %") if share >= 0.999_5 or share == 0 else f"{100 * share:.1f} %"


def spoken_change(change: float | None) -> str:
    """Format a change: `+12 %`, `-3.4 %`, `±0 %`, `x12`."""
    if change is None:
        return NONE
    if change >= 9:
        return f"x{change + 1:,.0f}"
    if abs(change) < 0.000_5:
        return "±0 %"
    return f"{100 * change:+.0f} %" if abs(change) >= 0.099_5 else f"{100 * change:+.1f} %"
