"""Certificates for a throw-away server on 127.0.0.1, made for each start by the keytool of the runtime of Kafka."""

import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from headrace.broker.local.requirements import java

STORE_PASSWORD = "of-a-test"
_LEAF_AND_AUTHORITY = (
    *("-ext", "SAN=ip:127.0.0.1"),
    *("-ext", "bc:critical=ca:true"),
    *("-ext", "ku:critical=digitalSignature,keyCertSign"),
    *("-ext", "eku=serverAuth"),
)


def certify(directory: Path, names: Sequence[str]) -> None:
    """For each name a key store `<name>.p12`, and `<name>.pem`: the certificate, which is its own authority."""
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: _certify(directory, name), names))


def _certify(directory: Path, name: str) -> None:
    store = ("-alias", "node", "-keystore", str(directory / f"{name}.p12"), "-storepass", STORE_PASSWORD)
    key = ("-keyalg", "EC", "-groupname", "secp256r1", "-dname", f"CN={name}", "-startdate", "-1d", "-validity", "3")
    _keytool("-genkeypair", *key, *_LEAF_AND_AUTHORITY, "-storetype", "PKCS12", *store)
    _keytool("-exportcert", "-rfc", "-file", str(directory / f"{name}.pem"), *store)


def _keytool(*arguments: str) -> None:
    subprocess.run([java().parent / "keytool", *arguments], check=True, capture_output=True, timeout=60)
