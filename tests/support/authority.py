"""An authority of certificates, and a vendor that signs by one of its certificates."""

from __future__ import annotations

import base64
import zlib
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.signed import NOW

CERTIFICATE = "https://certs.petalworks.test/v1/certs/CERT-360caa42"
SUBJECT = "messages.petalworks.test"


class Authority:
    """Vouches for certificates; its own is 400 days old at most."""

    def __init__(self) -> None:
        self._key = _key()
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Petalworks Authority")])
        self._own = self._built(self._name, self._key, NOW - timedelta(days=100), days=400, authority=True)
        self.vendor_key = _key()
        self.pem = self._own.public_bytes(Encoding.PEM)
        self.document = self.certificate()

    def certificate(
        self, subject: str = SUBJECT, *, begins: datetime = NOW - timedelta(days=1), days: int = 90
    ) -> bytes:
        """Return a certificate for the vendor's key, as PEM."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
        made = self._built(name, self.vendor_key, begins, days=days, authority=False, host=subject)
        return made.public_bytes(Encoding.PEM)

    def signed(self, secret: str, body: bytes, at: datetime, *, address: str = CERTIFICATE) -> dict[str, str]:
        """Return the headers by which the vendor signs."""
        time = at.strftime("%Y-%m-%dT%H:%M:%SZ")
        text = f"69cd13f0-d67a|{time}|{secret}|{zlib.crc32(body)}"
        signature = self.vendor_key.sign(text.encode(), PKCS1v15(), SHA256())
        return {
            "paypal-transmission-id": "69cd13f0-d67a",
            "paypal-transmission-time": time,
            "paypal-transmission-sig": base64.b64encode(signature).decode(),
            "paypal-auth-algo": "SHA256withRSA",
            "paypal-cert-url": address,
        }

    def _built(
        self,
        name: x509.Name,
        key: RSAPrivateKey,
        begins: datetime,
        *,
        days: int,
        authority: bool,
        host: str = "",
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(begins + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(_usage(authority=authority), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        if not authority:
            names = x509.SubjectAlternativeName([x509.DNSName(host)])
            usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
            builder = builder.add_extension(names, critical=False).add_extension(usage, critical=False)
        return builder.sign(self._key, SHA256())


def _key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
