"""A certificate authority for tests: it signs whatever a test wants, good and bad."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

BITS = 2048


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate with its key, as files."""

    certificate: Path
    key: Path

    @property
    def sha256(self) -> str:
        """Fingerprint, as openssl prints it."""
        (read,) = x509.load_pem_x509_certificates(self.certificate.read_bytes())
        digest = sha256(read.public_bytes(serialization.Encoding.DER)).hexdigest().upper()
        return "sha256:" + ":".join(digest[n : n + 2] for n in range(0, 64, 2))


class Authority:
    """A CA whose certificate lies in ``folder/<name>.pem``.

    Parameters
    ----------
    folder : Path
        Where everything is written.
    name : str
        Common name.
    days : float
        Until it ends.
    """

    def __init__(self, folder: Path, name: str = "ca", days: float = 30) -> None:
        self._folder = folder
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = folder / f"{name}.pem"
        built = self._builder(self._name, self._key.public_key(), days=days)
        built = built.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        signed = built.sign(self._key, hashes.SHA256())
        self.file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def sign(self, name: str, *, host: str = "127.0.0.1", days: float = 20, password: str = "") -> Signed:
        """Sign a certificate of a common name for a host; ``days`` below zero ended in the past."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        try:
            names: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(host))]
        except ValueError:
            names = [x509.DNSName(host)]
        built = self._builder(subject, key.public_key(), days=days)
        built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate, file = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        signed = built.sign(self._key, hashes.SHA256())
        certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        file.touch(mode=0o600)
        locked: serialization.KeySerializationEncryption = (
            serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        )
        file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))
        return Signed(certificate, file)

    def _builder(self, subject: x509.Name, key: rsa.RSAPublicKey, *, days: float) -> x509.CertificateBuilder:
        ends = datetime.now(UTC) + timedelta(days=days)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(ends - timedelta(days=200))
            .not_valid_after(ends)
        )
