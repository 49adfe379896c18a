"""Certificates of an authority of our own, made when they are needed; good ones and bad ones."""

from __future__ import annotations

import ipaddress
import secrets
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DAY = timedelta(days=1)


class Authority:
    """Signs certificates; `file` is what whoever trusts it reads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        # Whoever trusts several knows them by their names.
        self._name = _name(f"An authority for tests, {secrets.token_hex(8)}")
        self._own = self._sign(self._key, self._name, is_authority=True)
        self.file = folder / "authority.pem"
        self.file.write_bytes(self._own.public_bytes(serialization.Encoding.PEM))

    def context(self, host: str = "127.0.0.1", *, ends: timedelta = DAY) -> ssl.SSLContext:
        """What a server at this address speaks TLS with."""
        key = ec.generate_private_key(ec.SECP256R1())
        signed = self._sign(key, _name(host), host=host, ends=ends)
        file = self._folder / "server.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + signed.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        # PostgreSQL's driver speaks to nobody else; who speaks HTTP does without an answer.
        context.set_alpn_protocols(["postgresql"])
        return context

    def _sign(
        self,
        key: ec.EllipticCurvePrivateKey,
        name: x509.Name,
        *,
        host: str = "",
        ends: timedelta = DAY,
        is_authority: bool = False,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        draft = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 10 * DAY)
            .not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if host:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
            draft = draft.add_extension(names, critical=False)
        return draft.sign(self._key, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])
