# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens of a ServiceAccount, and a kubeconfig with one.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime as dt
import json
import math
import os
import stat
import time
import typing as t

from .._common.moments import utc
from .._transfer.files import replace
from .access_objects import Account, path
from .api import ApiSession, Thing
from .failures import failure
from .http import Server

# kubernetes 1.36.2, pkg/apis/authentication/validation: the API server takes no shorter one, and no longer one.
SHORTEST, LONGEST = 600, 1 << 32
MODE = 0o600


@dataclasses.dataclass(frozen=True)
class Token:
    """A bearer token and the moment it ends, in seconds since 1970."""

    value: str
    expires: float

    @property
    def until(self) -> str:
        """The end as RFC 3339 text in UTC."""
        return utc(self.expires)


def request(session: ApiSession, account: Account, seconds: float) -> Token:
    """A new token that the API server lets live for ``seconds``, or shorter as it decides."""
    wish = {"expirationSeconds": max(SHORTEST, min(LONGEST, math.ceil(seconds)))}
    answer = session.create(
        path("ServiceAccount", account.namespace, account.name) + "/token",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": wish},
    )
    status = answer.get("status") or {}
    ends = dt.datetime.fromisoformat(str(status["expirationTimestamp"]).replace("Z", "+00:00"))
    return Token(str(status["token"]), ends.timestamp())


def kubeconfig(server: Server, account: Account, token: str) -> bytes:
    """A kubeconfig, complete in itself, as JSON, which is YAML as well."""
    cluster: Thing = {"server": server.url}
    if server.ca_file:
        with open(server.ca_file, "rb") as file:
            cluster["certificate-authority-data"] = base64.b64encode(file.read()).decode()
    if not server.verify:
        # A CA and no check together are refused by kubectl.
        cluster = {"server": server.url, "insecure-skip-tls-verify": True}
    if server.server_name:
        cluster["tls-server-name"] = server.server_name
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": account.title, "user": {"token": token}}],
        "contexts": [
            {
                "name": account.title,
                "context": {"cluster": "cluster", "user": account.title, "namespace": account.namespace},
            }
        ],
        "current-context": account.title,
    }
    return (json.dumps(document, indent=2) + "\n").encode()


class KubeconfigFile:
    """The file at ``place``, if it is one that was written for the account."""

    def __init__(self, place: str, account: Account) -> None:
        self.path = os.path.abspath(os.path.expanduser(place))
        self._account = account
        self.content = self._read()

    def token(self, uid: str | None) -> Token | None:
        """The token in it, if it is one of the ServiceAccount with that ``uid``; a new account takes no old token."""
        if self.content is None:
            return None
        value = str(json.loads(self.content)["users"][0]["user"].get("token") or "")
        claims = _claims(value)
        named = claims.get("kubernetes.io", {}).get("serviceaccount", {})
        ends = claims.get("exp")
        if uid is None or named.get("uid") != uid or not isinstance(ends, (int, float)):
            return None
        return Token(value, float(ends))

    @property
    def is_private(self) -> bool:
        """Whether nobody but its owner may read it."""
        return stat.S_IMODE(os.stat(self.path).st_mode) == MODE

    def write(self, content: bytes) -> None:
        """Put ``content`` in its place, whole or not at all."""
        replace(self.path, content)

    def remove(self) -> None:
        """Remove it."""
        try:
            os.unlink(self.path)
        except OSError as error:
            raise _unusable(self.path, str(error)) from error

    def _read(self) -> bytes | None:
        """Its content, ``None`` when there is no file. Raises ``object_not_ours`` for any other file."""
        if not os.path.isdir(os.path.dirname(self.path)):
            raise _unusable(self.path, "its directory is not there")
        try:
            with open(self.path, "rb") as file:
                content = file.read(1 << 20)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(self.path, str(error)) from error
        try:
            users = [user["name"] for user in json.loads(content)["users"]]
        except (ValueError, TypeError, KeyError):
            users = []
        if users != [self._account.title]:
            raise failure(
                "object_not_ours", reason=f"{self.path} is there and was not written for {self._account.user}"
            )
        return content


def enough_left(token: Token | None, rest: float) -> bool:
    """Whether the token lives for more than ``rest`` seconds from now."""
    return token is not None and token.expires - time.time() > rest


def _claims(token: str) -> dict[str, t.Any]:
    """What a JSON Web Token says, without checking who signed it: only to see whether a new one is due."""
    part = (token.split(".") + ["", ""])[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}


def _unusable(place: str, message: str) -> Exception:
    return failure("invalid_option", reason=f"dest: the file {place} cannot be used", message=message)
