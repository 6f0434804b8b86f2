"""Keys and certificates of a fleet, made with `cryptography`: who the server is, and who the nodes are.

The fleet has an authority of its own (authority.py), which only signs the server's certificate. Nodes and the
command line trust that authority and no other. A node proves who it is with its own private key (P-384); the
server knows the public ones that were registered.
"""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedspike.errors import InputError
from fedspike.files import content_of, write_whole

AUTHORITY, SERVER, KEY = "ca.crt", "server.crt", "server.key"
NODE_KEY = "node.key"


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
    certificate = certificate_of(file, fix)
    now = datetime.datetime.now(datetime.UTC)
    since, until = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not since <= now <= until:
        word = "has expired" if now > until else "is not valid yet"
        raise InputError(
            f"{file} {word}: it is valid from {since:%Y-%m-%d} to {until:%Y-%m-%d}",
            expected=f"a certificate for today; this machine's clock says {now:%Y-%m-%d %H:%M} UTC",
            fix=f"set the clock if it is wrong; else {fix}",
        )


def certificate_of(file: Path, fix: str) -> x509.Certificate:
    """The certificate in a file. Raises InputError where there is none."""
    try:
        return x509.load_pem_x509_certificate(content_of(file, most=2**20))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: {error}", expected="a certificate", fix=fix) from error


def days_left(file: Path, fix: str) -> float:
    """For how many days a certificate is still valid; below 0 it has expired. InputError where it is none."""
    until = certificate_of(file, fix).not_valid_after_utc
    return (until - datetime.datetime.now(datetime.UTC)) / datetime.timedelta(days=1)


def write_secret(path: Path, content: bytes) -> None:
    """Nobody else on the machine may read it, at no moment."""
    write_whole(path, content, path.parent, mode=0o600)
