"""Where a server is: names and addresses as people write them, held against what can be one."""

import ipaddress
import re

from fedspike.errors import InputError

LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
EXPECTED = "a host name such as server.example, or an address such as 192.0.2.7 or 2001:db8::7"


def demand_host(host: str, where: str) -> None:
    """Raise InputError where that is no name of a host; `where` it was written.

    >>> demand_host("https://server.example", "--host")
    Traceback (most recent call last):
    fedspike.errors.InputError: --host https://server.example: there is a scheme in it
      expected: a host name such as server.example, or an address such as 192.0.2.7 or 2001:db8::7
      fix: write server.example
    """
    fault, fix = _fault(host)
    if fault:
        raise InputError(
            f"{where} {host[:100]}: {fault}", expected=EXPECTED, fix=fix, keys=(where,)
        )


def demand_port(port: int, where: str) -> None:
    """Raise InputError where that is no number of a port."""
    if not 1 <= port < 2**16:
        raise InputError(
            f"{where} {port}", expected="a number from 1 to 65535", fix="use 8000", keys=(where,)
        )


def split(address: str, where: str) -> tuple[str, int]:
    """The host and the port of an address as "server.example:8000" or "[::1]:8000". InputError for others."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not (port.isascii() and port.isdigit() and len(port) < 9) or "://" in address:
        raise InputError(
            f"{where} {address[:100]}",
            expected="a host and a port, such as server.example:8000 or [2001:db8::7]:8000",
            fix="write it so, with the host and the port of fleet.toml",
            keys=(where,),
        )
    demand_host(host, where)
    demand_port(int(port), where)
    return host, int(port)


def joined(host: str, port: int) -> str:
    """Host and port in one, as in an address of the web.

    >>> joined("::1", 8000)
    '[::1]:8000'
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _fault(host: str) -> tuple[str, str]:
    """What is wrong with a name, and how it would be right; nothing if nothing is."""
    name = "write the name or the address that the devices use for the server, alone"
    if not host:
        return "it is empty", name
    if "://" in host:
        inner = host.partition("://")[2].partition("/")[0]
        return "there is a scheme in it", f"write {inner}" if not _fault(inner)[0] else name
    if any(c.isspace() or not c.isprintable() for c in host):
        return "there is a space in it", name
    if "%" in host or host.startswith("["):
        return "an IPv6 address is written without brackets and zones", "write it as 2001:db8::7"
    if _is_ip(host):
        return "", ""
    before, _, port = host.rpartition(":")
    if port.isdigit() and before and ":" not in before:
        return "there is a port in it", f"write {before}, and the port with --port {port}"
    if not host.isascii():
        try:
            return "there are letters beyond ASCII in it", f"write {host.encode('idna').decode()}"
        except UnicodeError:
            return "there are letters beyond ASCII in it", name
    labels = host.removesuffix(".").split(".")
    if len(host) > 253 or any(len(label) > 63 for label in labels):
        return "it is too long", name
    if not all(LABEL.fullmatch(label) for label in labels):
        return "it is no name", name
    if labels[-1].isdigit():
        return "it is no IPv4 address", "write four numbers from 0 to 255"
    return "", ""


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
