"""The one door to OpenTelemetry: exporter of the processes' spans, and spans of producers and readers.

`exporter` and what it imports need the extra `otel`. `joining` uses the API alone, and only where the program that
imports the client has loaded it. Which spans are made, and from what, is decided elsewhere.
"""
