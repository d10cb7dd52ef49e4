# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a host of the inventory is logged in to, for a command that talks as long as it runs.

Ansible's connections run a command and give back what it printed. What goes back and forth needs the program that they
would start, ssh with the same arguments, and the command in the words of the become plugin.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import copy
import shlex
import typing as t

from ansible import constants
from ansible.module_utils.common.text.converters import to_bytes
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.loader import become_loader, connection_loader
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.pipe import Prompt

Variables = t.Mapping[str, t.Any]


def can_answer(become: t.Any) -> bool:
    """Whether a become plugin's prompt can be answered through a pipe: only sudo -S is known to read from one."""
    return not become.require_tty and (become.name == "sudo" or not become.get_option("become_pass"))


def become_command(become: t.Any, connection: t.Any, play_context: t.Any, script: str) -> tuple[str, Prompt | None]:
    """A script in the words of a become plugin, or of none, and the prompt that may come before it."""
    if become is None:
        return script, None
    command = become.build_become_command(script, connection._shell)
    if not become.expect_prompt():
        return command, None
    password = become.get_option("become_pass", playcontext=play_context)
    return command, Prompt(become.check_password_prompt, to_bytes(password) + b"\n")


def ssh_command(connection: t.Any, play_context: t.Any, remote: str, *, shared: bool) -> list[str | bytes]:
    """ssh as the connection plugin would start it; ``shared``: by Ansible's own connection, which compresses."""
    host = connection.get_option("host") or play_context.remote_addr
    # -T: a terminal would change what is said.
    command = connection._build_command(connection.get_option("ssh_executable"), "ssh", "-T", host, remote)
    if not shared:
        command = [part for part in command if to_bytes(part) != b"-C"]
        command[1:1] = ["-o", "ControlPath=none", "-o", "Compression=no"]
    return t.cast("list[str | bytes]", command)


class Login:
    """The login to one host. ``variables``: the host's; ``become``: whether to be root there, where they do not say.

    Raises CheckpointError ``connection_unsupported``.
    """

    def __init__(self, host: str, variables: Variables, play_context: t.Any, *, become: bool) -> None:
        self._host = host
        self._variables = variables
        context = copy.copy(play_context)
        context.remote_addr = str(variables.get("ansible_host") or host)
        self._executable = str(variables.get("ansible_shell_executable") or "/bin/sh")
        context.executable = self._executable
        name = str(variables.get("ansible_connection") or constants.DEFAULT_TRANSPORT)
        self._name = "ssh" if name == "smart" else name.rpartition("ansible.builtin.")[2]
        if self._name not in ("ssh", "local"):
            raise self._unsupported(f"by the connection plugin {self._name}")
        self._play_context = context
        self._connection = connection_loader.get(self._name, context)
        self._set_options(self._connection, "connection")
        asking = ("password", "pkcs11_provider") if self._name == "ssh" else ()
        # ssh would ask for it in ways of its own.
        if self._play_context.password or any(map(self._connection.get_option, asking)):
            raise self._unsupported("with a password for ssh")
        wanted = variables.get("ansible_become")
        self._become = self._become_plugin() if (boolean(wanted) if wanted is not None else become) else None

    @property
    def python(self) -> str | None:
        """The host's Python, if somebody has said which."""
        found = str(self._variables.get("ansible_python_interpreter") or "")
        return found if found.startswith("/") else None

    def command(self, script: str) -> tuple[list[str | bytes], Prompt | None]:
        """The local program that has the host's shell run a script, and the prompt that may come before it."""
        script, prompt = become_command(self._become, self._connection, self._play_context, script)
        remote = f"{self._executable} -c {shlex.quote(script)}"
        if self._name == "local":
            return ["/bin/sh", "-c", remote], prompt
        # A connection of its own: one that is shared may end with another task's.
        return ssh_command(self._connection, self._play_context, remote, shared=False), prompt

    def _become_plugin(self) -> t.Any:
        name = str(self._variables.get("ansible_become_method") or constants.DEFAULT_BECOME_METHOD)
        become = become_loader.get(name)
        if become is None:
            raise self._unsupported(f"with the become method {name}")
        self._set_options(become, "become")
        user = become.get_option("become_user") or "root"
        login = self._connection.get_option("remote_user") if self._name == "ssh" else None
        if user == login and not constants.BECOME_ALLOW_SAME_USER:
            return None
        if not can_answer(become):
            raise self._unsupported(f"with the become method {name}")
        return become

    def _set_options(self, plugin: t.Any, kind: str) -> None:
        names = constants.config.get_plugin_vars(kind, plugin._load_name)
        known = {name: self._variables[name] for name in names if name in self._variables}
        keys = {"become_pass": self._play_context.become_pass} if kind == "become" else {}
        plugin.set_options(task_keys={name: value for name, value in keys.items() if value}, var_options=known)

    def _unsupported(self, how: str) -> CheckpointError:
        return CheckpointError(
            "connection_unsupported",
            f"The host {self._host} is logged in to {how}, over which nothing can be said while a command runs",
            hint="Use ssh with a key, and become by sudo",
        )
