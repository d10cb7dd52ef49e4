# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ready sets: what they find, and what looks alike and is none."""

from __future__ import annotations

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.patterns import (
    LOOKBACK,
    Window,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.patterns_sets import (
    SETS,
    luhn,
    ready_set,
)

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04fSeQ6tF1a\n-----END EC PRIVATE KEY-----"


def matches(group: str, content: bytes) -> list[tuple[str, bytes, str]]:
    """(pattern, bytes, encoding) of all matches, in an environment of other bytes."""
    data = b"\xfe" * LOOKBACK + content + b"\xfe" * 64
    window = Window(data, 0)
    return [
        (pattern.name, data[match.start : match.end], match.encoding)
        for pattern in ready_set(group)
        for finder in pattern.finders
        for match in finder.find(window, LOOKBACK, len(data))
    ]


FOUND = [
    ("credentials", "assignment", "DB_PASSWORD=hunter2!", "DB_PASSWORD=hunter2!"),
    ("credentials", "assignment", "url?api_key=Zm9vYmFy&x=1", "api_key=Zm9vYmFy"),
    ("credentials", "labelled", '{"password": "correct horse"}', 'password": "correct'),
    ("credentials", "labelled", "client_secret: s3cr3t-value", "client_secret: s3cr3t-value"),
    ("credentials", "url_password", "postgres://app:pa55@db.shop:5432/x", "postgres://app:pa55@db.shop:5432"),
    ("credentials", "basic_authorization", "Authorization: Basic dXNlcjpwYXNz\r\n", "Basic dXNlcjpwYXNz"),
    ("credentials", "bearer_authorization", "Bearer abcdefghijklmnop.qrs", "Bearer abcdefghijklmnop.qrs"),
    ("credentials", "json_web_token", f"x {JWT} y", JWT),
    ("credentials", "aws_access_key", "AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    ("credentials", "aws_access_key", "(ASIAIOSFODNN7EXAMPLE)", "ASIAIOSFODNN7EXAMPLE"),
    ("credentials", "google_api_key", "AIza" + "b" * 35, "AIza" + "b" * 35),
    ("credentials", "github_token", "ghs_" + "a1" * 18, "ghs_" + "a1" * 18),
    ("credentials", "github_fine_grained_token", "github_pat_" + "a1" * 20, "github_pat_" + "a1" * 20),
    ("credentials", "gitlab_token", "glpat-" + "x" * 20, "glpat-" + "x" * 20),
    ("credentials", "slack_token", "xoxb-1234567890-abc", "xoxb-1234567890-abc"),
    ("credentials", "stripe_key", "sk_live_" + "4" * 24, "sk_live_" + "4" * 24),
    ("credentials", "npm_token", "npm_" + "A" * 36, "npm_" + "A" * 36),
    ("credentials", "password_hash", "root:$6$saltsalt$" + "h" * 86 + ":1", "$6$saltsalt$" + "h" * 86),
    ("urls", "url", "see https://example.com/a?b=c#d now", "https://example.com/a?b=c#d"),
    ("urls", "url", "redis+sentinel://10.0.0.1:26379", "redis+sentinel://10.0.0.1:26379"),
    ("ip_addresses", "ipv4", "at 203.0.113.250:443", "203.0.113.250"),
    ("ip_addresses", "ipv6", "at [2001:db8::7]:443", "2001:db8::7"),
    ("ip_addresses", "ipv6", "inet6 fe80::1ff:fe23:4567:890a/64", "fe80::1ff:fe23:4567:890a"),
    ("private_keys", "pem", f"x{PEM}\n", PEM),
    ("private_keys", "pem", "-----BEGIN PRIVATE KEY-----\nMIIEvQ", "-----BEGIN PRIVATE KEY-----"),
    ("private_keys", "putty", "PuTTY-User-Key-File-3: ssh-ed25519\n", "PuTTY-User-Key-File-3: ssh-ed25519"),
    ("private_keys", "age", "AGE-SECRET-KEY-1" + "Q" * 58, "AGE-SECRET-KEY-1" + "Q" * 58),
    ("cards", "card", "pay 4111 1111 1111 1111 now", "4111 1111 1111 1111"),
    ("cards", "card", "5555-5555-5555-4444", "5555-5555-5555-4444"),
    ("cards", "card", "<378282246310005>", "378282246310005"),
]


@pytest.mark.parametrize(("group", "name", "content", "expected"), FOUND)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16le", "utf-16be"])
def test_found_in_every_encoding(group: str, name: str, content: str, expected: str, encoding: str) -> None:
    found = [item for item in matches(group, content.encode(encoding)) if item[0] == name]
    assert found == [(name, expected.encode(encoding), encoding)]


@pytest.mark.parametrize(
    ("group", "content"),
    [
        ("credentials", "PASSWORD_FILE=/run/secrets/db"),
        ("credentials", "password=null"),
        ("credentials", "user=alice"),
        ("credentials", "AKIAIOSFODNN7EXAMPLEX"),
        ("credentials", "eyJhbGciOiJIUzI1NiJ9"),
        ("credentials", "https://example.com/a:b"),
        ("urls", "a :// b"),
        ("ip_addresses", "version 1.2.3.400"),
        ("ip_addresses", "1.2.3.4.5"),
        ("ip_addresses", "01.2.3.4"),
        ("ip_addresses", "std::abc and 12:34:56 and a::"),
        ("private_keys", "-----BEGIN PUBLIC KEY-----"),
        ("cards", "4111 1111 1111 1112"),
        ("cards", "0000000000000000"),
        ("cards", "14111111111111111"),
        ("cards", "1795254984123"),
    ],
)
def test_none(group: str, content: str) -> None:
    assert matches(group, content.encode()) == []


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        # openssl genrsa -traditional, openssl genpkey for RSA, EC and Ed25519, openssl ecparam -genkey: first bytes.
        ("der_pkcs1_rsa", "308204a40201000282010100b8"),
        ("der_pkcs8", "308204be020100300d06092a864886f70d0101010500048204a8"),
        ("der_pkcs8", "308187020100301306072a8648ce3d020106082a8648ce3d030107"),
        ("der_pkcs8", "302e020100300506032b657004220420"),
        ("der_ec", "30770201010420"),
        ("openssh_bare", "6f70656e7373682d6b65792d763100"),
    ],
)
def test_keys_that_are_no_text(name: str, raw: str) -> None:
    assert name in {found for found, data, encoding in matches("private_keys", bytes.fromhex(raw))}


def test_check_digits() -> None:
    assert luhn(b"79927398713")
    assert not any(luhn(b"7992739871%d" % digit) for digit in range(10) if digit != 3)


def test_names_of_patterns_are_unique() -> None:
    names = [name for group in SETS.values() for name, finders in group]
    assert len(names) == len(set(names))
