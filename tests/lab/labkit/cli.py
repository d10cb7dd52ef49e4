# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of tests/lab/lab."""

from __future__ import annotations

import argparse
import os
import sys
import time

from . import host
from .errors import LabError
from .lab import CHECKOUT, OUTPUT, Lab

BEGAN = time.monotonic()


def say(text: str) -> None:
    print(f"[{time.monotonic() - BEGAN:6.1f} s] {text}", file=sys.stderr, flush=True)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="tests/lab/lab", description="A real Kubernetes on this machine.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text)

    add("up", "Start what is not running: control plane and nodes.").add_argument(
        "--nodes", nargs="+", default=[], metavar="NODE", help="only these nodes"
    )
    add("down", "Take everything down and leave nothing behind.")
    add("status", "Say what runs.")
    for name, text in (
        ("start", "Power a node on."),
        ("stop", "Power a node off, as if the plug were pulled."),
        ("cut", "Pull a node's network cable."),
        ("heal", "Plug a node's network cable in again."),
    ):
        add(name, text).add_argument("node", metavar="NODE")
    logs = add("logs", "Show a log: of a unit on a node (kubelet, crio, containerd, console) or of the control plane.")
    logs.add_argument("node", metavar="NODE", help="a node, or control-plane")
    logs.add_argument("part", metavar="PART")
    for name, text in (
        ("kubectl", "kubectl as the cluster's admin."),
        ("run", "Run any command in the project's environment: tools, collection, kubeconfig, inventory."),
    ):
        add(name, text).usage = f"tests/lab/lab {name} ARGS"
    execute = add("exec", "Run a command inside a node, as root.")
    execute.usage = "tests/lab/lab exec NODE CMD"
    execute.add_argument("node", metavar="NODE")
    return top


def environment() -> dict[str, str]:
    """Where the project's tools, the collection and the laboratory are."""
    sys.path.insert(0, str(CHECKOUT / "tests" / "tools"))
    import environment as tools

    try:
        values = tools.environ(say)
    except tools.ToolError as error:
        raise LabError(str(error)) from error
    kubeconfig = str(OUTPUT / "kubeconfig")
    own = {
        "ANSIBLE_CONFIG": str(OUTPUT / "ansible.cfg"),
        "ANSIBLE_INVENTORY": str(OUTPUT / "inventory.yml"),
        "K8S_AUTH_KUBECONFIG": kubeconfig,
        "KUBECONFIG": kubeconfig,
    }
    return {**values, **own}


def parse(arguments: list[str]) -> argparse.Namespace:
    """What follows these commands is another program's: argparse would take its options for ours."""
    own = {"kubectl": 1, "run": 1, "exec": 2}.get(arguments[0] if arguments else "", len(arguments))
    options = parser().parse_args(arguments[:own])
    options.arguments = arguments[own:]
    return options


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    lab = Lab(say)
    if not host.is_root():
        raise LabError("The laboratory needs root: it makes namespaces, mounts and cgroups.")
    if options.command == "up":
        lab.up(options.nodes)
        for limit in host.limits():
            say(limit)
    elif options.command == "status":
        print("\n".join(lab.status()))
    elif options.command in ("down", "start", "stop", "cut", "heal"):
        getattr(lab, options.command)(*([options.node] if "node" in options else []))
        say(f"{options.command}: done")
    else:
        return hand_over(lab, options)
    return 0


def hand_over(lab: Lab, options: argparse.Namespace) -> int:
    """The commands that end by becoming another program."""
    environ = dict(os.environ)
    if options.command == "kubectl":
        command = [str(lab.kubectl()), f"--kubeconfig={OUTPUT / 'kubeconfig'}", *options.arguments]
    elif options.command == "exec":
        command = lab.machine(options.node).command(options.arguments)
    elif options.command == "logs":
        command = lab.logs(options.node, options.part)
    else:
        command, environ = options.arguments, environment()
    if not command:
        raise LabError(f"{options.command} wants a command to run.")
    os.execvpe(command[0], command, environ)


def entry() -> int:
    try:
        return main(sys.argv[1:])
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("lab: interrupted; `tests/lab/lab up` goes on, `tests/lab/lab down` clears up", file=sys.stderr)
    except FileNotFoundError as error:
        print(f"lab: {error}", file=sys.stderr)
    return 1
