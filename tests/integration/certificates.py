"""Certificates for throw-away servers on 127.0.0.1, made anew for each by the `openssl` of the machine."""

import subprocess
from pathlib import Path


def certify(directory: Path, authority: str, holder: str) -> None:
    """An authority, and a certificate for 127.0.0.1 that it signed; `<holder>.pem` is a PEM key store for Kafka."""
    ca, key, pem = (directory / f"{authority}.{ending}" for ending in ("cnf", "key", "pem"))
    ca.write_text(
        "[req]\nprompt = no\ndistinguished_name = who\n[who]\nCN = A Test Authority\n"
        "[ca]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign\n"
        "subjectKeyIdentifier = hash\n"
        "[leaf]\nsubjectAltName = IP:127.0.0.1\nkeyUsage = critical, digitalSignature\n"
        "extendedKeyUsage = serverAuth\nsubjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid\n"
    )
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2", "-config", str(ca))
    leaf_key, leaf = directory / f"{holder}.key", directory / f"{holder}.crt"
    _openssl("req", "-x509", *curve, "-extensions", "ca", "-keyout", str(key), "-out", str(pem))
    signed = ("-extensions", "leaf", "-subj", "/CN=A Node", "-CA", str(pem), "-CAkey", str(key))
    _openssl("req", "-x509", *curve, *signed, "-keyout", str(leaf_key), "-out", str(leaf))
    (directory / f"{holder}.pem").write_text(leaf_key.read_text() + leaf.read_text() + pem.read_text())


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=30)  # noqa: S607  # the machine's
