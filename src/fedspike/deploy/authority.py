"""A fleet's authority, whose one task is to sign the server's certificate; its key is kept to do it again.

Nodes trust the authority's certificate, not the server's: so a new server certificate, with further names or
for another year, needs nothing of them. Whoever has the authority's key can pretend to be the server. It is
used by `init` and `renew` alone, and may lie anywhere: encrypted, or on a medium that is taken away.
"""

import datetime
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedspike.deploy.certificates import (
    AUTHORITY,
    KEY,
    SERVER,
    certificate_of,
    days_left,
    demand_valid,
    write_secret,
)
from fedspike.errors import InputError
from fedspike.files import MOST_SMALL, content_of, write_whole

AUTHORITY_KEY = "authority.key"
SERVER_DAYS = 397  # as long as browsers take a server's
AUTHORITY_DAYS = 3652
SOON_DAYS = 30
INIT = "fedspike fleet init my-fleet fleet --nodes 2"
ANEW = f"make the fleet anew: {INIT}"
RESTORE = f"restore it, or {ANEW}"
PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
    *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


@dataclass(frozen=True)
class Safe:
    """Where the authority's key is kept, and the passphrase that encrypts it; "" leaves it open."""

    file: Path
    passphrase: str = ""

    def demand_free(self) -> None:
        """Raise InputError where no key can be put: no other fleet's may be lost."""
        if self.file.exists():
            raise InputError(
                f"{self.file} is there already",
                expected="a new file for the key of the fleet's authority",
                fix="name another one with --authority-key",
            )
        if not self.file.parent.is_dir():
            raise InputError(
                f"{self.file}: its folder is not there",
                expected="a folder in which the key of the fleet's authority can be kept",
                fix=f"is its medium in place? Else make the folder: mkdir -p {quote(str(self.file.parent))}",
            )

    def put(self, key: ec.EllipticCurvePrivateKey) -> None:
        """Write the key so that nobody else on the machine can read it."""
        if self.passphrase:
            words = self.passphrase.encode()
            locked: serialization.KeySerializationEncryption = (
                serialization.BestAvailableEncryption(words)
            )
        else:
            locked = serialization.NoEncryption()
        write_secret(self.file, key.private_bytes(PEM, PKCS8, locked))


@dataclass(frozen=True)
class Authority:
    """Its certificate, and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def certify(self, names: Sequence[str], public: ec.EllipticCurvePublicKey) -> x509.Certificate:
        """The certificate of a server that is called so, for 397 days or as long as the authority's own."""
        until = min(_in_days(SERVER_DAYS), self.certificate.not_valid_after_utc)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return (
            _certificate(_named(names[0]), self.certificate.subject, public, until)
            .add_extension(x509.SubjectAlternativeName([*map(_host, names)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage("digital_signature"), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
            .add_extension(issuer, critical=False)
            .sign(self.key, hashes.SHA384())
        )


def write(folder: Path, names: Sequence[str], safe: Safe) -> None:
    """A new authority, whose key goes into `safe`, and a server's key and certificate for these names."""
    key, own = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
    name = _named("FedSpike fleet authority")
    root = (
        _certificate(name, name, own.public_key(), _in_days(AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage("key_cert_sign"), critical=True)
        .sign(own, hashes.SHA384())
    )
    safe.put(own)
    server = Authority(root, own).certify(names, key.public_key())
    write_whole(folder / AUTHORITY, root.public_bytes(PEM), folder)
    write_whole(folder / SERVER, server.public_bytes(PEM), folder)
    write_secret(folder / KEY, key.private_bytes(PEM, PKCS8, serialization.NoEncryption()))


def renew(
    folder: Path, names: Sequence[str], key: Path, passphrase: Callable[[], str]
) -> x509.Certificate:
    """A new certificate for the server's key, for these names and those that it had; all else stays.

    The passphrase is asked for where the authority's key is encrypted. Raises InputError where that key is
    missing, locked or another authority's, where the authority has expired, or the server's key is bad.
    """
    demand_valid(folder / AUTHORITY, ANEW)
    root = certificate_of(folder / AUTHORITY, ANEW)
    authority = Authority(root, _authority_key(key, root, passphrase))
    own = _private_key(folder / KEY, passphrase, expected="the server's key", fix=RESTORE)
    server = authority.certify(list(dict.fromkeys([*_names(folder), *names])), own.public_key())
    write_whole(folder / SERVER, server.public_bytes(PEM), folder)
    return server


def remark(folder: Path, renewal: str) -> str:
    """What is to be said where the server's certificate ends soon, with the command for another; else ""."""
    days = days_left(folder / SERVER, renewal)
    if days > SOON_DAYS:
        return ""
    ends = f"ends in {days:.0f} days" if days > 0 else "has expired"
    return f"The server's certificate {ends}. For a new one: {renewal}"


def _authority_key(
    file: Path, root: x509.Certificate, passphrase: Callable[[], str]
) -> ec.EllipticCurvePrivateKey:
    expected = "the key of the fleet's authority, as fedspike fleet init wrote it"
    fix = f"name its file with --authority-key; if it is lost, {ANEW}"
    key = _private_key(file, passphrase, expected=expected, fix=fix)
    if key.public_key() != root.public_key():
        raise InputError(
            f"{file} is the key of another authority",
            expected="the one whose certificate the fleet's nodes have",
            fix="name the file of this fleet with --authority-key",
        )
    return key


def _private_key(
    file: Path, passphrase: Callable[[], str], *, expected: str, fix: str
) -> ec.EllipticCurvePrivateKey:
    """A key of ours, for which the passphrase is asked for where it takes one. Raises InputError."""
    try:
        content = content_of(file, most=MOST_SMALL)
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}", expected=expected, fix=fix) from error
    locked = b"ENCRYPTED PRIVATE KEY" in content
    words = passphrase().encode() if locked else None
    try:
        key: object = serialization.load_pem_private_key(content, words)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        if locked:
            fault = "the passphrase is wrong, or the file is damaged"
            fix = "give the passphrase that was given to fedspike fleet init"
        else:
            fault = "it is no private key, or damaged"
        raise InputError(f"{file}: {fault}", expected=expected, fix=fix) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InputError(f"{file}: another kind of key", expected=expected, fix=fix)
    return key


def _names(folder: Path) -> list[str]:
    """What the server is called by the certificate that it has."""
    server = certificate_of(folder / SERVER, fix=RESTORE)
    try:
        names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError) as error:
        raise InputError(
            f"{folder / SERVER}: {error}",
            expected="the server's certificate, as fedspike fleet init wrote it",
            fix=RESTORE,
        ) from error
    return [str(name.value) for name in names]


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    until: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_in_days(-1))  # clocks differ
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _in_days(days: int) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)


def _usage(name: str) -> x509.KeyUsage:
    """That a key is for this, and for nothing else."""
    return x509.KeyUsage(**dict.fromkeys(USAGES, False) | {name: True})


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
