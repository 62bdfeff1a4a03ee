"""What operators look at: one table of panels and one of alerts, from which page, dashboard and rules are made.

Here belong figures' names, titles, meanings, units, PromQL queries, thresholds and the alerts on them: data, and how
they become text. No I/O, no metric is counted here (`headrace.broker.service.metrics`), and nothing is drawn here (the
page: `headrace.broker.service.page`). Dashboard and rule files are written from it by `helm/write_*.py`.
"""
