# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ready patterns: credentials, URLs, IP addresses, private keys, payment cards.

Nearly every expression begins with bytes that are always the same, because those are jumped to, and everything else is
tried byte by byte. What stands before such an anchor is found by looking back.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import re
import socket
import typing as t

from .patterns import LOOKBACK, Expression, Finder, Pattern, Refine, WideExpression, always, as_it_is
from .secrets import is_secret

Span = t.Optional[tuple[int, int]]

_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]{1,15}\Z")
_NAME_BACKWARDS = re.compile(rb"[ \t]{0,4}[\"']?([A-Za-z0-9_.-]{0,63}[A-Za-z_])")
_DIGITS = bytes(48 if 48 <= value <= 57 else 0 for value in range(256))
_THIRTEEN = b"0" * 13
_ADDRESS = re.compile(rb"[0-9A-Fa-f:.]+")
_NOT_BEFORE_ADDRESS = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_.:-")


def _before(data: bytes, position: int, size: int = LOOKBACK) -> bytes:
    return data[max(0, position - size) : position]


def _url(data: bytes, match: re.Match[bytes]) -> Span:
    scheme = _SCHEME.search(_before(data, match.start(), 16))
    return (match.start() - len(scheme.group()), match.end()) if scheme else None


def _assignment(data: bytes, match: re.Match[bytes]) -> Span:
    """NAME=value, "name": "value" and the like, where the name says that the value is secret."""
    # Trying forwards from every possible beginning would take ten times as long.
    name = _NAME_BACKWARDS.match(_before(data, match.start(), 72)[::-1])
    value = match.group()[1:].strip(b" \t\"'").decode("ascii")
    if name is None or not is_secret(name.group(1)[::-1].decode("ascii"), value):
        return None
    return match.start() - len(name.group()), match.end()


def _ipv4(data: bytes, match: re.Match[bytes]) -> Span:
    """The expression finds the first dot; the first number stands before it."""
    first = _before(data, match.start(), 4)
    digits = first[len(first.rstrip(b"0123456789")) :]
    before = data[match.start() - len(digits) - 1 : match.start() - len(digits)]
    numbers = [digits, *match.group()[1:].split(b".")]
    if not 1 <= len(digits) <= 3 or before == b"." or before.isalnum():
        return None
    if any(int(number) > 255 or (len(number) > 1 and number.startswith(b"0")) for number in numbers):
        return None
    return match.start() - len(digits), match.end()


def _ipv6(data: bytes, match: re.Match[bytes]) -> Span:
    """The expression finds a colon within; the address is all that can belong to one, if it is one."""
    head = _before(data, match.start(), 46)
    start = match.start() - (len(head) - len(head.rstrip(b"0123456789abcdefABCDEF:.")))
    found = _ADDRESS.match(data, start, start + 46)
    if found is None or (start and data[start - 1] in _NOT_BEFORE_ADDRESS):
        return None
    text = found.group().rstrip(b".").decode("ascii")
    after = data[start + len(text) : start + len(text) + 1]
    # Without a digit it is more likely a name of a program's library, as in abc::def.
    if after.isalnum() or after == b"_" or not any(letter.isdigit() for letter in text):
        return None
    try:
        socket.inet_pton(socket.AF_INET6, text)
    except OSError:
        return None
    return start, start + len(text)


def luhn(digits: bytes) -> bool:
    """Whether the check digit is right (ISO/IEC 7812-1, annex B)."""
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = digit - 48
        if index % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


ISSUERS: tuple[tuple[str, str, frozenset[int]], ...] = (
    ("4", "4", frozenset((13, 16, 19))),
    ("51", "55", frozenset((16,))),
    ("2221", "2720", frozenset((16,))),
    ("34", "34", frozenset((15,))),
    ("37", "37", frozenset((15,))),
    ("300", "305", frozenset((14,))),
    ("36", "36", frozenset((14,))),
    ("38", "39", frozenset((14,))),
    ("6011", "6011", frozenset((16, 19))),
    ("644", "659", frozenset((16, 19))),
    ("3528", "3589", frozenset((16, 19))),
    ("62", "62", frozenset((16, 17, 18, 19))),
    ("5018", "5018", frozenset(range(13, 20))),
    ("6304", "6304", frozenset(range(13, 20))),
    ("6759", "6763", frozenset(range(13, 20))),
)
"""First digits (from, to) and lengths: Visa, Mastercard, American Express, Diners Club, Discover, JCB, UnionPay,
Maestro. Source: the issuers' published ranges, as in Wikipedia's "Payment card number"."""


def _card(_data: bytes, match: re.Match[bytes]) -> Span:
    digits = match.group().replace(b" ", b"").replace(b"-", b"")
    text = digits.decode("ascii")
    known = any(low <= text[: len(low)] <= high and len(text) in lengths for low, high, lengths in ISSUERS)
    # A row of one digit passes the check and is never a card.
    return match.span() if known and luhn(digits) and len(set(digits)) > 1 else None


def _one_before(_data: bytes, match: re.Match[bytes]) -> Span:
    """The expression has looked at the byte before it."""
    return match.start() - 1, match.end()


def _thirteen_digits(data: bytes) -> bool:
    return _THIRTEEN in data.translate(_DIGITS, b" -")


def _text(
    name: str,
    expression: bytes,
    *anchors: bytes,
    refine: Refine = as_it_is,
    possible: t.Callable[[bytes], bool] = always,
) -> tuple[str, tuple[Finder, ...]]:
    """A pattern of text, found in UTF-8 and UTF-16. Each match begins with one of the anchors."""
    regex = re.compile(expression)
    narrow = [Expression(regex, refine, anchor=anchor, possible=possible) for anchor in anchors or (b"",)]
    wide = [WideExpression(regex, refine, anchor=anchor, possible=possible) for anchor in anchors or (b"",)]
    return name, (*narrow, *wide)


def _binary(name: str, expression: bytes) -> tuple[str, tuple[Finder, ...]]:
    return name, (Expression(re.compile(expression, re.DOTALL), encoding="bytes"),)


_VALUE = rb"""[ \t]{0,4}["']?(?=[^\s"'<>{}$%*,;&\\])[^\s\x00-\x20\x7f-\xff"'<>,;&]{4,512}"""
_NO_TEXT = rb"\x00-\x20\x7f-\xff\"'<>"
_KEY_NAME = rb"(?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----"

SETS: dict[str, tuple[tuple[str, tuple[Finder, ...]], ...]] = {
    "credentials": (
        _text("assignment", rb"=" + _VALUE, refine=_assignment),
        _text("labelled", rb":" + _VALUE, refine=_assignment),
        _text(
            "url_password",
            rb"://[^:/@%b]{0,128}:[^:/@%b]{1,256}@[A-Za-z0-9.\[\]:_-]{1,255}" % (_NO_TEXT, _NO_TEXT),
            b"://",
            refine=_url,
        ),
        _text("basic_authorization", rb"Basic [A-Za-z0-9+/]{8,1024}={0,2}", b"Basic "),
        _text("bearer_authorization", rb"Bearer [A-Za-z0-9._~+/-]{16,4096}=*", b"Bearer "),
        _text("json_web_token", rb"eyJ[A-Za-z0-9_-]{8,8192}\.eyJ[A-Za-z0-9_-]{8,8192}\.[A-Za-z0-9_-]{0,2048}", b"eyJ"),
        _text("aws_access_key", rb"A[KS]IA[A-Z2-7]{16}(?![A-Za-z0-9])", b"AKIA", b"ASIA"),
        _text("google_api_key", rb"AIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])", b"AIza"),
        _text("github_token", rb"gh[pousr]_[A-Za-z0-9]{36,255}", b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"),
        _text("github_fine_grained_token", rb"github_pat_[A-Za-z0-9_]{22,255}", b"github_pat_"),
        _text("gitlab_token", rb"glpat-[A-Za-z0-9_.-]{20,128}", b"glpat-"),
        _text("slack_token", rb"xox[abeoprs]-[A-Za-z0-9-]{10,255}", b"xox"),
        _text("stripe_key", rb"k_live_(?<=[sr]k_live_)[A-Za-z0-9]{20,255}", b"k_live_", refine=_one_before),
        _text("npm_token", rb"npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])", b"npm_"),
        _text("password_hash", rb"\$(?:2[abxy]\$[0-9]{2}\$[./A-Za-z0-9]{53}|[156y]\$[^:%b]{20,200})" % _NO_TEXT),
    ),
    "urls": (_text("url", rb"://[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]{1,2048}", b"://", refine=_url),),
    "ip_addresses": (
        _text("ipv4", rb"\.(?<=[0-9]\.)[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9A-Za-z_]|\.[0-9])", refine=_ipv4),
        _text("ipv6", rb":(?=[0-9A-Fa-f]{0,4}:)", refine=_ipv6),
    ),
    "private_keys": (
        _text(
            "pem",
            rb"-----BEGIN %b(?:[^-]{0,15000}-----END %b)?" % (_KEY_NAME, _KEY_NAME),
            b"-----BEGIN ",
        ),
        _text("openssh_bare", rb"openssh-key-v1\x00", b"openssh-key-v1"),
        _text("putty", rb"PuTTY-User-Key-File-[0-9]: [!-~]{1,64}", b"PuTTY-User-Key-File-"),
        _text("age", rb"AGE-SECRET-KEY-1[0-9A-Z]{58}", b"AGE-SECRET-KEY-1"),
        _binary("der_pkcs1_rsa", rb"\x30\x82..\x02\x01\x00\x02\x82..\x00?[\x80-\xff]"),
        _binary(
            "der_pkcs8",
            rb"\x30(?:\x81.|\x82..|[\x20-\x7f])\x02\x01[\x00\x01]\x30[\x05-\x20]\x06"
            rb"(?:\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01|\x07\x2a\x86\x48\xce\x3d\x02\x01|\x03\x2b\x65[\x6e-\x71])",
        ),
        _binary("der_ec", rb"\x30(?:\x77\x02\x01\x01\x04\x20|\x81.\x02\x01\x01\x04[\x20\x30\x42])"),
    ),
    "cards": (
        _text(
            "card",
            rb"[2-6](?<![0-9][2-6])(?<![0-9][ -][2-6])(?:[ -]?[0-9]){12,18}(?![0-9])",
            refine=_card,
            possible=_thirteen_digits,
        ),
    ),
}
"""The patterns of each set: name and finders."""


def ready_set(group: str) -> list[Pattern]:
    """The patterns of a set, in their fixed order."""
    return [Pattern("set", name, finders, group) for name, finders in SETS[group]]
