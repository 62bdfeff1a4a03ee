"""The strip below the two panels: leader, waiting requests of each lane, and Headrace's estimate of the bucket."""

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from headrace.broker.cli.demo.bars import bar
from headrace.broker.cli.demo.inside import BucketEstimate, Inside


def strip(inside: Inside) -> RenderableType:
    """Render the whole strip."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", min_width=9)
    facts.add_column()
    facts.add_row("leader", Text(leadership(inside)))
    facts.add_row("lanes", Text(lanes(inside)))
    facts.add_row("bucket", _belief(inside.bucket))
    return Group(Rule("inside Headrace", style="dim"), Padding(facts, (0, 2)))


def leadership(inside: Inside) -> str:
    """Say which dispatcher leads and which stands by."""
    if inside.leader is None:
        return "no dispatcher leads now"
    if not inside.standbys:
        return f"{inside.leader} leads (term {inside.term})"
    dare = "" if inside.leader_pid is None else f": try kill -9 {inside.leader_pid}"
    return f"{inside.leader} leads (term {inside.term}); {', '.join(inside.standbys)} stands by{dare}"


def lanes(inside: Inside) -> str:
    """Say how many requests wait in each lane, and how many are being called."""
    if inside.waiting is None:
        return "-"
    waiting = " · ".join(f"{lane} {count}" for lane, count in inside.waiting.items())
    return f"{waiting} waiting; {inside.inflight} being called"


def _belief(bucket: BucketEstimate | None) -> RenderableType:
    if bucket is None:
        return Text("unknown before the first answer: one call goes first")
    label = f"{bucket.low:,} to {bucket.high:,} of {bucket.capacity:,} tokens left by Headrace's estimate"
    return bar(max(0, bucket.low), bucket.capacity, label, colour="blue")
