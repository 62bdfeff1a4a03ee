"""The chart, by the real tools: linted and rendered by helm, its objects held against the schemas of Kubernetes and of
the Prometheus operator, its dashboard against Grafana's types.

Here belongs what a cluster would be told, and what a person is told who sets a wrong value. What a cluster makes of it
is not seen here: no API server runs.
"""
