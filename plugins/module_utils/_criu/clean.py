# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results without anything that JSON cannot carry.

Texts of a checkpoint may hold any bytes. Inside they are kept as surrogates (PEP 383); a result has them escaped as
``\\xNN`` with every backslash doubled, so that nothing is lost, and says where that was done.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t


def escape(text: str) -> tuple[str, bool]:
    """The text as it is if it is valid, else escaped; and whether it was escaped."""
    try:
        text.encode("utf-8")
        return text, False
    except UnicodeEncodeError:
        doubled = text.replace("\\", "\\\\")
        try:
            raw = doubled.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            # A lone surrogate of another kind, which JSON documents can hold.
            raw = doubled.encode("utf-8", "surrogatepass")
        return raw.decode("utf-8", "backslashreplace"), True


def clean(value: t.Any, path: str = "", escaped: t.Optional[list[str]] = None) -> t.Any:
    """The value with all texts made valid; the places of escaped ones are added to ``escaped``."""
    if isinstance(value, str):
        found, changed = escape(value)
        if changed and escaped is not None:
            escaped.append(path)
        return found
    if isinstance(value, dict):
        return {
            clean(key, path, escaped) if isinstance(key, str) else str(key): clean(
                item, f"{path}.{key}" if path else str(key), escaped
            )
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [clean(item, f"{path}[{index}]", escaped) for index, item in enumerate(value)]
    if isinstance(value, (bytes, bytearray)):
        return clean(bytes(value).decode("utf-8", "surrogateescape"), path, escaped)
    return value
