"""What operators look at: tables of panels, alerts and spans, from which page, dashboard, rules and traces are made.

Here belong figures' names, titles, meanings, units, PromQL queries, thresholds and the alerts on them, and the names
of spans and their attributes: data, and how they become text. No I/O, no metric is counted here
(`headrace.broker.service.metrics`), no span is made here (`headrace.broker.service.tracing`), and nothing is drawn here
(the page: `headrace.broker.service.page`). Dashboard and rule files are written from it by `helm/write_*.py`.
"""
