"""Transports of one process; how they meet hostile servers is in tests/hostile/test_upstream_door.py."""

from pathlib import Path

import pytest

from headrace.broker.adapters.openai.transport import AnswerTransport


def test_certificates_are_read_once_for_all_transports_and_anew_for_other_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They were read three times before a dispatcher led, 20 ms of processor time each."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    usual = AnswerTransport(1, 1)._tls
    assert AnswerTransport(1, 1)._tls is usual
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert AnswerTransport(1, 1)._tls is not usual
