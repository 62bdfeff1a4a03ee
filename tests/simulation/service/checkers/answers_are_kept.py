"""An answer that its leader has heard is published, or kept until it can be: its request is not called again.

Unless its process has stepped down since the call left, or another one has led: one that slept through its replacement
may step down a moment before it hears the answer (seed 128). Looked at are first runs: a replay is called anew.
"""

from collections.abc import Iterator

from tests.simulation.service.history import History


def check(history: History) -> Iterator[str]:
    """A call that was paid twice for nothing."""
    replayed = {each.id for each in history.sent if each.run}
    claims = history.claims()
    heard: dict[tuple[str, str], tuple[float, float]] = {}
    for call in history.calls:
        key = call.process, call.id
        sent_s, since_s = heard.get(key, (0.0, None))
        if since_s is not None and call.id not in replayed:
            down = any(name == call.process and sent_s < at_s < call.sent_s for at_s, name in history.stepped_down)
            led = any(owner != call.process and sent_s < at_s < call.sent_s for at_s, _, owner in claims)
            if since_s < call.sent_s and not (down or led):
                yield f"{call.process} calls {call.id} at {call.sent_s:.3f} s, and had its answer at {since_s:.3f} s"
        if call.status == 200 and call.heard_s is not None:
            heard.setdefault(key, (call.sent_s, call.heard_s))
