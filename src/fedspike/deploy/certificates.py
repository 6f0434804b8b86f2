"""Certificates of a fleet, made with `cryptography`: who the server is.

The fleet has an authority of its own (authority.py), which only signs the server's certificate. Nodes and the
command line trust that authority and no other. Who the nodes are is in keys.py and register.py.
"""

import datetime
from pathlib import Path

from cryptography import x509

from fedspike.errors import InputError
from fedspike.files import MOST_SMALL, content_of, write_whole

AUTHORITY, SERVER, KEY = "ca.crt", "server.crt", "server.key"


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
        return x509.load_pem_x509_certificate(content_of(file, most=MOST_SMALL))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: {error}", expected="a certificate", fix=fix) from error


def days_left(file: Path, fix: str) -> float:
    """For how many days a certificate is still valid; below 0 it has expired. InputError where it is none."""
    until = certificate_of(file, fix).not_valid_after_utc
    return (until - datetime.datetime.now(datetime.UTC)) / datetime.timedelta(days=1)


def write_secret(path: Path, content: bytes) -> None:
    """Nobody else on the machine may read it, at no moment."""
    write_whole(path, content, path.parent, mode=0o600)
