"""The rule file, proved with the real promtool and the real Prometheus.

Here belong worlds of series in which each alert fires and resolves (`test_*.py`, run by promtool), a Prometheus that
scrapes real processes under load (`live`), and six broken set-ups with a stop-watch (`broken_setups`). What the tables
say is tested without tools in `tests/unit/observability`. It is not part of `make test`: run it by `make rules`.
"""
