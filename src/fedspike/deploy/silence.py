"""Why a server does not answer, in our words: what Python and httpx say is for programmers."""

import errno
import socket
import ssl
from collections.abc import Iterator
from urllib.error import URLError

import httpx

WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (httpx.TimeoutException, "no answer in time"),
    (TimeoutError, "no answer in time"),
    (ConnectionRefusedError, "no program listens there"),
    (socket.gaierror, "this machine knows no such name"),
    (ConnectionError, "it hung up"),
    (httpx.RemoteProtocolError, "it hung up"),
)
NO_WAY = (errno.EHOSTUNREACH, errno.ENETUNREACH)


def words(error: BaseException) -> str:
    """Why there is no answer.

    >>> words(ConnectionRefusedError(111, "Connection refused"))
    'no program listens there'
    """
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in NO_WAY:
            return "this machine has no way there"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not good: {cause.verify_message}"
        for kind, reason in WORDS:
            if isinstance(cause, kind):
                return reason
    strerrors = (c.strerror for c in _causes(error) if isinstance(c, OSError) and c.strerror)
    return next(strerrors, None) or str(error) or type(error).__name__


def of_certificate(error: BaseException) -> bool:
    """Whether somebody answers there, whose certificate is not good."""
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it came from."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        reason = cause.reason if isinstance(cause, URLError) else None
        cause = (
            reason if isinstance(reason, BaseException) else cause.__cause__ or cause.__context__
        )
