# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as a secret by its name: the one table behind redaction, findings and the search for credentials.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import functools
import re

ANYWHERE: tuple[str, ...] = (
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "credential",
    "apikey",
    "accesskey",
    "accountkey",
    "authkey",
    "encryptionkey",
    "masterkey",
    "privatekey",
    "secretkey",
    "sessionkey",
    "sharedkey",
    "signingkey",
    "connectionstring",
)
"""A name that contains one of these, separators and case left out, is that of a secret."""

WORDS: frozenset[str] = frozenset(
    (
        "auth",
        "authorization",
        "bearer",
        "cookie",
        "creds",
        "hmac",
        "jwt",
        "otp",
        "pass",
        "pat",
        "psk",
        "pw",
        "pwd",
        "token",
        "tokens",
        "totp",
    )
)
"""A name that has one of these among its words is that of a secret."""

HARMLESS: frozenset[str] = frozenset(("pwd", "oldpwd"))
"""Names as a whole that are not: the working directory."""

ABOUT: frozenset[str] = frozenset(
    (
        "algorithm",
        "audience",
        "class",
        "count",
        "dir",
        "directory",
        "disabled",
        "enabled",
        "endpoint",
        "expiration",
        "expiry",
        "file",
        "folder",
        "header",
        "host",
        "id",
        "issuer",
        "length",
        "limit",
        "lifetime",
        "method",
        "mode",
        "name",
        "names",
        "path",
        "policy",
        "port",
        "prefix",
        "provider",
        "required",
        "size",
        "sock",
        "timeout",
        "ttl",
        "type",
        "url",
        "uri",
        "user",
        "username",
        "version",
    )
)
"""A name that ends with one of these tells something about a secret, not the secret itself."""

NOTHING: frozenset[str] = frozenset(("", "0", "1", "false", "no", "none", "null", "off", "on", "true", "yes"))
"""Values that keep no secret, whatever their name."""

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")


@functools.lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether what stands behind a name (of a variable, option or key) is to be taken for a secret."""
    words = [word.lower() for word in _WORD.findall(name[:256])]
    if not words or words[-1] in ABOUT or "".join(words) in HARMLESS:
        return False
    joined = "".join(words)
    return not WORDS.isdisjoint(words) or any(part in joined for part in ANYWHERE)


def is_secret(name: str, value: str) -> bool:
    """Whether a name and a value together are a secret that somebody could use."""
    return value.strip().lower() not in NOTHING and is_secret_name(name)
