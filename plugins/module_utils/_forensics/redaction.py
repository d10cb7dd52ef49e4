# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results without secrets: by name (secrets.py), and by value with the patterns that the search for credentials has.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import functools
import json
import re
import typing as t

from .patterns import Expression, Window
from .patterns_sets import SETS
from .secrets import is_secret

MASK = "********"

MODES: tuple[str, ...] = ("names", "redacted", "full")
"""What is shown of an environment: names alone, values without secrets, or everything."""

MAX_TEXT = 1 << 20
"""Longer texts are masked as a whole."""

MAX_DEPTH = 64

_URL = re.compile(r"(://[^\s:/@]{0,128}:)[^\s\"'<>]{1,256}(?=@)")
"""Up to the last @: a password may hold slashes and more of them."""

_HEADER = re.compile(r"((?:authorization|cookie)[\"']?[ \t]{0,4}[:=][ \t]{0,4})[^\"'\r\n]{1,8192}", re.IGNORECASE)
_OPTION = re.compile(r"(--?([A-Za-z][A-Za-z0-9_.-]{0,63})[= ])([^\s-]\S{0,4095})")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]{0,127})=(.*)", re.DOTALL)

_VALUES: tuple[tuple[str, Expression], ...] = tuple(
    (name, finder)
    for group in ("credentials", "private_keys")
    for name, finders in SETS[group]
    for finder in finders
    if isinstance(finder, Expression) and name != "url_password"
)


def _encoded(value: str) -> bytes:
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")


def _masked_option(match: re.Match[str]) -> str:
    return match.group(1) + MASK if is_secret(match.group(2), match.group(3)) else match.group()


@functools.lru_cache(maxsize=4096)
def text(value: str) -> str:
    """A text with the secrets in it masked: passwords in URLs, tokens, keys, NAME=value, --name value."""
    if len(value) > MAX_TEXT:
        return MASK
    value = _OPTION.sub(_masked_option, _HEADER.sub(rf"\1{MASK}", _URL.sub(rf"\1{MASK}", value)))
    data = _encoded(value)
    for name, finder in _VALUES:
        window = Window(data, 0)
        for match in reversed(list(finder.find(window, 0, len(data)))):
            start = match.start
            if name in ("assignment", "labelled"):
                separator = b"=" if name == "assignment" else b":"
                start = data.index(separator, start, match.end) + 1
                known = data[start : match.end].strip(b" \t\"'").decode("utf-8", "surrogateescape")
                if known.endswith(MASK) or not is_secret("password", known):
                    continue
            data = data[:start] + MASK.encode("ascii") + data[match.end :]
    return data.decode("utf-8", "surrogateescape")


def variable(entry: str) -> str:
    """NAME=value without a secret."""
    name, equals, value = entry.partition("=")
    if equals and is_secret(name, value):
        return f"{name}={MASK}"
    return f"{name}{equals}{text(value)}"


def environment(entries: t.Optional[list[str]], mode: str) -> t.Optional[list[str]]:
    """An environment as a mode of MODES shows it; None where it is not known."""
    if entries is None or mode == "full":
        return entries
    if mode == "names":
        return [entry.partition("=")[0] for entry in entries]
    return [variable(entry) for entry in entries]


def arguments(given: t.Optional[list[str]], mode: str) -> t.Optional[list[str]]:
    """A command line; only the mode "full" shows the secrets in it."""
    if given is None or mode == "full":
        return given
    shown: list[str] = []
    for index, argument in enumerate(given):
        before = given[index - 1] if index else ""
        if (
            before.startswith("-")
            and "=" not in before
            and not argument.startswith("-")
            and is_secret(before, argument)
        ):
            shown.append(MASK)
            continue
        assignment = _VARIABLE.fullmatch(argument.lstrip("-"))
        if assignment is not None and is_secret(assignment.group(1), assignment.group(2)):
            shown.append(f"{argument[: len(argument) - len(assignment.group(2))]}{MASK}")
        else:
            shown.append(text(argument))
    return shown


def document(value: t.Any, mode: str, name: str = "", depth: int = 0) -> t.Any:
    """A JSON document without secrets: by key, in environments, in lists of name and value, in JSON within texts."""
    if mode == "full":
        return value
    if depth > MAX_DEPTH:
        return MASK
    if isinstance(value, dict):
        named = value.get("name") or value.get("Name")
        shown = {key: document(item, mode, str(key), depth + 1) for key, item in value.items()}
        for key in ("value", "Value"):
            if isinstance(named, str) and isinstance(value.get(key), str) and is_secret(named, value[key]):
                shown[key] = MASK
        return shown
    if isinstance(value, list):
        texts = all(isinstance(item, str) for item in value)
        if texts and name.lower() == "env":
            return environment(value, mode)
        if texts:
            return arguments(value, mode)
        return [document(item, mode, name, depth + 1) for item in value]
    return _leaf(value, mode, name, depth) if isinstance(value, str) else value


def _leaf(value: str, mode: str, name: str, depth: int) -> str:
    if name and is_secret(name, value):
        return MASK
    if value[:1] in ("{", "["):
        try:
            inner = json.loads(value)
        except (ValueError, RecursionError):
            return text(value)
        return json.dumps(document(inner, mode, "", depth + 1), ensure_ascii=False, separators=(",", ":"))
    return text(value)


def secret_variables(entries: t.Optional[list[str]]) -> list[str]:
    """The names of the variables that hold a secret, in their order."""
    return [entry.partition("=")[0] for entry in entries or [] if variable(entry) != entry]


def secret_arguments(given: t.Optional[list[str]]) -> list[str]:
    """The arguments that hold a secret, masked, in their order; a masked value alone has its option before it."""
    shown = arguments(given, "redacted") or []
    found: list[str] = []
    for index, (before, after) in enumerate(zip(given or [], shown)):
        if before != after:
            found.append(f"{shown[index - 1]} {MASK}" if after == MASK and index else after)
    return found
