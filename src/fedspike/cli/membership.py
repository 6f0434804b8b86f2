"""Who belongs to a fleet: a device asks to be let in, its owner lets it in, or keeps it out for good."""

import sys
from argparse import Namespace
from datetime import UTC, datetime

from fedspike.cli.commands import say
from fedspike.cli.fleet import demand_flower, folder_of
from fedspike.federation.client_numbers import clients_of, spelled
from fedspike.shell import command


def enrol(options: Namespace) -> int:
    """Make a node's folder with a key of its own, and say its code."""
    demand_flower()
    from fedspike.deploy import enrolment, keys

    invited = enrolment.read(options.invitation)
    folder = enrolment.enrol(invited, options.invitation.parent, options.name, options.output)
    data = ("--data", "FILE.npz") if invited.own_data else ()
    code = keys.code_of(folder.key.public_key())
    say(
        f"{folder.path} is the folder of {folder.settings.node}, with a key that was made here.\n"
        f"Its code:    {code}\n"
        f"On this device:                {command('fleet', 'node', folder.path, *data)}\n"
        f"Meanwhile the fleet's owner:   {command('fleet', 'admit', 'my-fleet', code)}"
    )
    return 0


def admit(options: Namespace) -> int:
    """Let in the node with a code; without one, say who asks to be let in."""
    folder = folder_of(options.folder)
    from fedspike.cli.overview import knocking
    from fedspike.deploy import enrolment

    if options.code is None:
        now = datetime.now(UTC)
        if knocks := [knock.told(now) for knock in enrolment.knocking(folder)]:
            sys.stdout.writelines(f"{line}\n" for line in knocking(knocks, str(folder.path)))
        else:
            say("Nobody asks to be let in.")
        return 0
    clients = () if options.clients is None else clients_of(options.clients, "--clients")
    node = enrolment.admit(folder, options.code, options.name, clients)
    say(f"{node.name} is let in. Its clients: {spelled(node.clients)}")
    return 0


def revoke(options: Namespace) -> int:
    """Keep a node out for good, from now on."""
    folder = folder_of(options.folder)
    from fedspike.deploy import enrolment
    from fedspike.deploy.control_client import ServerUntrusted

    untold = enrolment.revoke(folder, options.node)
    later = ""
    if isinstance(untold, ServerUntrusted):
        later = f" The server keeps it out, but could not be asked ({untold.passed}): {untold.fix}."
    elif untold:
        later = f" No server runs that could be told ({untold.passed}); the next one knows it."
    say(f"The key of {options.node} is revoked, and never let in again.{later}")
    return 0
