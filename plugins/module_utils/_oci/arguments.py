# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options for a registry: the same for every module that reaches one, as in the doc fragment _registry.

What speaks HTTP and TLS is imported when a registry is meant: the modules that look into archives rarely need it, and
importing it takes longer than listing an archive.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

from .._archive.archive import Archive, open_archive
from .credentials import Credentials, from_file, from_text
from .reference import TRANSPORT, Name, parse_name

if t.TYPE_CHECKING:
    from .connection import Connection

REGISTRY_SPEC: dict[str, t.Any] = {
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "authfile": {"type": "path"},
    "pull_secret": {"type": "json", "no_log": True},
    "ca_cert": {"type": "path"},
    "plain_http": {"type": "bool", "default": False},
}
REGISTRY_TOGETHER = [("username", "password")]
REGISTRY_EXCLUSIVE = [("username", "authfile", "pull_secret")]


def _credentials(name: Name, params: t.Mapping[str, t.Any]) -> t.Optional[Credentials]:
    if params["username"] is not None:
        return Credentials(params["username"], params["password"])
    if params["pull_secret"] is not None:
        return from_text(params["pull_secret"], name, "pull_secret")
    if params["authfile"] is not None:
        return from_file(params["authfile"], name)
    return None


def connection(name: Name, params: t.Mapping[str, t.Any], actions: str) -> Connection:
    """To the repository of a name. Raises CheckpointError credentials_unusable, ca_unusable."""
    from .connection import Connection

    return Connection(name, _credentials(name, params), params["ca_cert"], params["plain_http"], actions)


def opener(params: t.Mapping[str, t.Any]) -> t.Callable[[str], Archive]:
    """open_archive() for paths, and open_remote() for names behind ``docker://``."""

    def opened(path: str) -> Archive:
        if not path.startswith(TRANSPORT):
            return open_archive(path)
        from .remote import open_remote

        return open_remote(connection(parse_name(path[len(TRANSPORT) :]), params, "pull"))

    return opened
