"""Keys and certificates of a fleet, made with `cryptography`: who the server is, and who the nodes are.

The fleet has an authority of its own, which only signs the server's certificate. Nodes and the command line
trust that authority and no other. A node proves who it is with its own private key (P-384); the server knows
the public ones that were registered.
"""

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedspike.errors import InputError
from fedspike.files import content_of, write_whole

VALID_DAYS = 397
AUTHORITY, SERVER, KEY = "ca.crt", "server.crt", "server.key"
NODE_KEY = "node.key"


def write_server(folder: Path, hosts: Sequence[str]) -> None:
    """An authority and the server's certificate for these names and addresses.

    The authority's own key is not kept: another server needs another fleet, or `init` again.
    """
    authority_key, key = (
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP384R1()),
    )
    authority = _named("FedSpike fleet authority")
    usage = dict.fromkeys(
        (
            *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
            *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
        ),
        False,
    )
    root = (
        _certificate(authority, authority, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**usage | {"key_cert_sign": True}), critical=True)
        .sign(authority_key, hashes.SHA384())
    )
    names = x509.SubjectAlternativeName([_host(host) for host in hosts])
    server = (
        _certificate(_named(hosts[0]), authority, key.public_key())
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage | {"digital_signature": True}), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), False
        )
        .sign(authority_key, hashes.SHA384())
    )
    pem = serialization.Encoding.PEM
    write_whole(folder / AUTHORITY, root.public_bytes(pem), folder)
    write_whole(folder / SERVER, server.public_bytes(pem), folder)
    form = serialization.PrivateFormat.PKCS8
    write_secret(folder / KEY, key.private_bytes(pem, form, serialization.NoEncryption()))


def write_node_key(folder: Path) -> bytes:
    """A node's key pair: the private key into its folder, the public one is returned."""
    key = ec.generate_private_key(ec.SECP384R1())
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    write_secret(folder / NODE_KEY, secret)
    ssh = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return key.public_key().public_bytes(*ssh) + b"\n"


def public_key(file: Path) -> bytes:
    """A node's public key in the form in which Flower knows it. Raises InputError where it is none."""
    fix = "restore it, or delete it to keep the node out"
    try:
        key: object = serialization.load_ssh_public_key(content_of(file, most=2**20))
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise InputError(f"{file}: {error}", expected="a node's public key", fix=fix) from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise InputError(f"{file}: another kind of key", expected="one of P-384", fix=fix)
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def demand_node_key(file: Path, fix: str) -> None:
    """Raise InputError where a file is no private key of a node."""
    try:
        key: object = serialization.load_ssh_private_key(content_of(file), None)
    except (OSError, TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise InputError(f"{file}: {error}", expected="the node's private key", fix=fix) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InputError(f"{file}: another kind of key", expected="one of P-384", fix=fix)


def demand_valid(file: Path, fix: str) -> None:
    """Raise InputError where a certificate is damaged, has expired, or is not yet valid by this clock."""
    try:
        certificate = x509.load_pem_x509_certificate(content_of(file))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: {error}", expected="a certificate", fix=fix) from error
    now = datetime.datetime.now(datetime.UTC)
    since, until = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not since <= now <= until:
        word = "has expired" if now > until else "is not valid yet"
        raise InputError(
            f"{file} {word}: it is valid from {since:%Y-%m-%d} to {until:%Y-%m-%d}",
            expected=f"a certificate for today; this machine's clock says {now:%Y-%m-%d %H:%M} UTC",
            fix=f"set the clock if it is wrong; else {fix}",
        )


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def write_secret(path: Path, content: bytes) -> None:
    """Nobody else on the machine may read it, at no moment."""
    write_whole(path, content, path.parent, mode=0o600)
