# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials for a registry, out of an auth file of docker or podman or the content of a Kubernetes pull secret.

Sources: containers-auth.json(5) (containers/image v5.36: the most specific name wins); docker/cli
cli/config/configfile (v28); kubernetes pkg/credentialprovider/keyring.go (v1.36: wildcards in the parts of a host).

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import json
import os
import typing as t

from .._common.errors import CheckpointError
from .reference import Name

LARGEST = 1 << 20


class Credentials(t.NamedTuple):
    """A user's name and password, or a token that a token server changes for another."""

    username: str
    password: str
    identity_token: str = ""

    def basic(self) -> str:
        """The value of the Authorization header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def _unusable(what: str, text: str, hint: str = "", message: str = "") -> CheckpointError:
    return CheckpointError("credentials_unusable", f"{what}: {text}", hint=hint, message=message)


def from_file(path: str, name: Name) -> t.Optional[Credentials]:
    """What an auth file has for the repository, None for nothing. Raises CheckpointError credentials_unusable."""
    try:
        with open(os.path.expanduser(path), "rb") as file:
            content = file.read(LARGEST)
    except (OSError, ValueError) as error:
        raise _unusable("authfile", f"{path} cannot be read", message=str(error)) from error
    return from_text(content.decode("utf-8", "replace"), name, "authfile")


def from_text(text: str, name: Name, what: str) -> t.Optional[Credentials]:
    """What the JSON text has for the repository, None for nothing. ``what`` names its origin.

    Raises CheckpointError credentials_unusable. No error holds any of the text.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        # The parser's own text tells positions, and is kept back with the content.
        raise _unusable(
            what, "it is not JSON", "A value from the data of a Secret has to go through the filter b64decode first"
        ) from None
    if not isinstance(document, dict):
        raise _unusable(what, "it is not a JSON object")
    if isinstance(document.get("data"), dict) and ".dockerconfigjson" in document["data"]:
        raise _unusable(
            what, "it is a whole Secret", "Give data['.dockerconfigjson'] of it through the filter b64decode"
        )
    helpers = document.get("credHelpers")
    if isinstance(helpers, dict) and name.registry in helpers:
        raise _helper(what, name)
    entry = _best(document.get("auths"), name)
    if entry is None:
        return None
    found = _credentials(entry, what)
    if found is None and document.get("credsStore"):
        raise _helper(what, name)
    return found


def _helper(what: str, name: Name) -> CheckpointError:
    return _unusable(
        what,
        f"the password for {name.registry} is kept by a credential helper, which is not asked here",
        "Log in with a file of its own, for example podman login --authfile, or give username and password",
    )


def _best(auths: t.Any, name: Name) -> t.Optional[dict[str, t.Any]]:
    """The entry whose key fits the repository best: longer paths first, then hosts without wildcards."""
    best: t.Optional[tuple[int, bool, dict[str, t.Any]]] = None
    for key, entry in auths.items() if isinstance(auths, dict) else ():
        if not isinstance(entry, dict):
            continue
        host, path = _split(str(key))
        if not _same_host(host, name.registry) or not (name.repository + "/").startswith(path + "/" if path else ""):
            continue
        rank = (len(path), "*" not in host)
        if best is None or rank > best[:2]:
            best = (*rank, entry)
    return None if best is None else best[2]


def _split(key: str) -> tuple[str, str]:
    """Host and path of a key: ``https://index.docker.io/v1/`` and ``quay.io/team`` are both in use."""
    host, _slash, path = key.partition("://")[2].partition("/") if "://" in key else key.partition("/")
    path = path.strip("/")
    return host, "" if path in ("v1", "v2") else path


def _same_host(pattern: str, registry: str) -> bool:
    aliases = {"index.docker.io": "docker.io", "registry-1.docker.io": "docker.io"}
    pattern, registry = aliases.get(pattern, pattern), aliases.get(registry, registry)
    parts, wanted = pattern.split("."), registry.split(".")
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, wanted, parts))


def _credentials(entry: dict[str, t.Any], what: str) -> t.Optional[Credentials]:
    token = entry.get("identitytoken")
    username, password = entry.get("username"), entry.get("password")
    if isinstance(entry.get("auth"), str) and entry["auth"]:
        try:
            username, colon, rest = base64.b64decode(entry["auth"]).decode("utf-8").partition(":")
        except (binascii.Error, UnicodeDecodeError):
            colon = rest = ""
        if not colon:
            raise _unusable(what, "the value of auth is not a user and a password in base64") from None
        password = rest.rstrip("\0")
    if isinstance(token, str) and token:
        return Credentials(username if isinstance(username, str) else "", "", token)
    if isinstance(username, str) and username and isinstance(password, str):
        return Credentials(username, password)
    return None
