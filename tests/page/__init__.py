"""The live page in a real browser, on a real Kafka and a real Valkey: what it shows, and what it costs.

`make page` runs it; the default run does not, since it installs Chromium. What can be tested without a browser is in
tests/unit/service/page.
"""
