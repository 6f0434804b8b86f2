"""A node's key: a pair of P-384, of which the private half never leaves the node's folder.

The public half is written as ssh writes it, and has a short code that people can read to each other.
"""

import re
from hashlib import sha256
from pathlib import Path
from typing import TypeGuard

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedspike.deploy.certificates import write_secret
from fedspike.errors import InputError
from fedspike.files import MOST_SMALL, content_of
from fedspike.shell import command

NODE_KEY = "node.key"
ENROL = command("fleet", "enrol", "invitation.toml")
ANOTHER_KEY = f"on the device, delete {NODE_KEY} and make another: " + command(
    "fleet", "enrol", "invitation.toml", "--output", "NODE"
)
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # https://www.crockford.com/base32.html
MISREAD = str.maketrans({"I": "1", "L": "1", "O": "0"})
CODE_LETTERS, GROUP = 12, 4


def write_private(folder: Path) -> ec.EllipticCurvePublicKey:
    """Make a key pair: the private key into its folder, the public one is returned."""
    key = ec.generate_private_key(ec.SECP384R1())
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    write_secret(folder / NODE_KEY, secret)
    return key.public_key()


def private(file: Path, fix: str) -> ec.EllipticCurvePrivateKey:
    """A node's private key. Raises InputError where a file is none."""
    try:
        key: object = serialization.load_ssh_private_key(content_of(file, most=MOST_SMALL), None)
    except (OSError, TypeError, ValueError, UnsupportedAlgorithm) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{file}: {reason}", expected="the node's private key", fix=fix) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not is_ours(key.public_key()):
        raise InputError(f"{file}: another kind of key", expected="one of P-384", fix=fix)
    return key


def public(text: str, where: str, fix: str) -> ec.EllipticCurvePublicKey:
    """A public key as `written` writes it. Raises InputError where it is none; `where` it stood."""
    try:
        key: object = serialization.load_ssh_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(f"{where}: {error}", expected="a node's public key", fix=fix) from error
    if not is_ours(key):
        raise InputError(f"{where}: another kind of key", expected="one of P-384", fix=fix)
    return key


def is_ours(key: object) -> TypeGuard[ec.EllipticCurvePublicKey]:
    """Whether a public key is of the kind that nodes have."""
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP384R1)


def written(key: ec.EllipticCurvePublicKey) -> str:
    """A public key on one line, the same for the same key."""
    ssh = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return key.public_bytes(*ssh).decode()


def pem(key: ec.EllipticCurvePublicKey) -> bytes:
    """A public key in the form in which Flower knows it."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def of_pem(content: bytes) -> ec.EllipticCurvePublicKey:
    """What `pem` wrote. Raises ValueError for anything else."""
    try:
        key: object = serialization.load_pem_public_key(content)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error
    if not is_ours(key):
        raise ValueError("another kind of key")
    return key


def code_of(key: ec.EllipticCurvePublicKey) -> str:
    """The first 60 bits of the SHA-256 of a key, such as "7KQF-2M9X-RD4T".

    Who wants to make another key with the same code needs 2^60 tries.
    """
    der = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    number = int.from_bytes(sha256(key.public_bytes(*der)).digest()[:8], "big") >> 4
    return _grouped(
        "".join(CROCKFORD[number >> 5 * place & 31] for place in reversed(range(CODE_LETTERS)))
    )


def code(typed: str) -> str:
    """A code as a person typed it, as `code_of` writes it. Raises InputError where it can be none.

    >>> code("7kqf2m9x rd4t")
    '7KQF-2M9X-RD4T'
    """
    letters = re.sub(r"[-\s]", "", typed).upper().translate(MISREAD)
    if len(letters) != CODE_LETTERS or not set(letters) <= set(CROCKFORD):
        raise InputError(
            f"the code {typed[:100]}",
            expected=f"{CODE_LETTERS} letters and digits, such as 7KQF-2M9X-RD4T",
            fix="type the code that fedspike fleet enrol showed on the device",
        )
    return _grouped(letters)


def _grouped(letters: str) -> str:
    return "-".join(letters[at : at + GROUP] for at in range(0, CODE_LETTERS, GROUP))
