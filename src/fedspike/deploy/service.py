"""A systemd unit that keeps a fleet's server or a node going: from start-up on, and again after a failure.

What runs under it may write into its own folder alone. The form is that of systemd.exec(5),
systemd.service(5) and systemd.syntax(7), systemd 247 or newer.
"""

import pwd
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from fedspike.deploy.folder import FleetFolder, NodeFolder
from fedspike.errors import InputError

# Exit codes after Ctrl-C and SIGTERM, as shells count: both are an end that was wished for.
STOPPED = "130 143"
STOP_WITHIN_S = 60  # the server ends its own programs before
AGAIN_AFTER_S = 10
# What a service manager without privileges can do, too.
FENCES = """\
NoNewPrivileges=yes
ProtectSystem=strict
PrivateTmp=yes
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
UMask=0077
"""
FENCES_OF_THE_SYSTEM = """\
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
"""
FIRST_PORT_FOR_ALL = 1024
ITS_OWN = (Path("/tmp"), Path("/var/tmp"))  # of which a service has others, empty ones


@dataclass(frozen=True)
class Service:
    """What is to run: the words after `fedspike fleet`, the only folder that it writes into, and its port."""

    action: str
    folder: Path
    description: str
    data: Path | None = None
    port: int | None = None

    @property
    def unit(self) -> str:
        """The name of its unit file."""
        return f"fedspike-{re.sub(r'[^A-Za-z0-9._-]', '-', self.folder.name)}.service"

    def text(self, *, of_system: bool) -> str:
        """The unit: of the user who installs it, or of the system, where it runs as the folder's owner."""
        command = [sys.executable, "-m", "fedspike", "fleet", self.action, str(self.folder)]
        command += [] if self.data is None else ["--data", str(self.data)]
        online = "Wants=network-online.target\nAfter=network-online.target\n" if of_system else ""
        # The colon: a dollar sign in a name is one, and no variable.
        return f"""\
[Unit]
Description={_literal(self.description)}
{online}StartLimitIntervalSec=0

[Service]
Type=exec
{f"User={_owner(self.folder)}{chr(10)}" if of_system else ""}\
ExecStart=:{" ".join(map(_quoted, command))}
Restart=on-failure
RestartSec={AGAIN_AFTER_S}
SuccessExitStatus={STOPPED}
KillMode=mixed
TimeoutStopSec={STOP_WITHIN_S}
ReadWritePaths={_quoted(str(self.folder))}
{FENCES}{FENCES_OF_THE_SYSTEM + self._capabilities() if of_system else ""}
[Install]
WantedBy={"multi-user" if of_system else "default"}.target
"""

    def _capabilities(self) -> str:
        """None of root's powers; but low ports are not for every user."""
        if self.port is None or self.port >= FIRST_PORT_FOR_ALL:
            return "CapabilityBoundingSet=\n"
        low = "CAP_NET_BIND_SERVICE"
        return f"CapabilityBoundingSet={low}\nAmbientCapabilities={low}\n"


def service(folder: Path, data: Path | None) -> Service:
    """The service of a fleet's folder, or of a node's, whose data may lie elsewhere.

    Raises InputError where the folder is neither, where the data are not there, and where a service could not
    have them.
    """
    own, data = folder.resolve(), None if data is None else data.resolve()
    for path in (own, *([] if data is None else [data])):
        _demand_reachable(path)
    if (folder_of_node := NodeFolder(own)).is_made:
        node = folder_of_node.settings.node
        if data is not None and not data.exists():
            raise InputError(
                f"--data {data}: no such file or folder",
                expected="the node's data",
                fix="name a file with x_train and y_train, or leave it out for NODE/data",
            )
        return Service("node", own, f"{node}: a node of a FedSpike fleet", data)
    port = FleetFolder(own).settings.port
    if data is not None:
        raise InputError(
            f"--data {data} for a server", expected="a node's folder", fix="leave --data out"
        )
    return Service("server", own, f"{own.name}: the server of a FedSpike fleet", port=port)


def _demand_reachable(path: Path) -> None:
    if not str(path).isprintable():
        raise InputError(
            f"{str(path)!r}: there are control characters in it",
            expected="a name that can be written in a line of a unit",
            fix="rename the file or folder",
        )
    if any(path.is_relative_to(folder) for folder in ITS_OWN):
        raise InputError(
            f"{path} is among temporary files",
            expected="a place that a service sees, and that is there after a restart",
            fix="move it, for example to your home",
        )


def _owner(folder: Path) -> str:
    """Who owns the folder: by name, or by number where there is no name."""
    number = folder.stat().st_uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _literal(text: str) -> str:
    """Without specifiers, which systemd would fill in.

    >>> _literal("50 %")
    '50 %%'
    """
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    r"""One word, whatever stands in it.

    >>> print(_quoted('my "fleet"\\100 %'))
    "my \"fleet\"\\100 %%"
    """
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_literal(escaped)}"'
