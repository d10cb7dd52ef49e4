# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small files of this node, and what of them is understood without a library.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import glob
import json
import os
import re
import typing as t

LIMIT = 1024 * 1024


def under(root: str, path: str) -> str:
    """Where an absolute path of the node lies: the node's root is another directory for recorded trees."""
    return os.path.join(root, path.lstrip("/"))


def matches(pattern: str, root: str = "/") -> list[str]:
    """The paths of the node that fit a pattern, sorted."""
    found = glob.glob(under(root, pattern))
    return sorted("/" + os.path.relpath(path, root) for path in found)


def names_in(path: str, root: str = "/") -> list[str]:
    """What is in a directory of the node, sorted; nothing where it cannot be read."""
    try:
        return sorted(os.listdir(under(root, path)))
    except OSError:
        return []


def read_text(path: str, root: str = "/") -> t.Optional[str]:
    """A small file, None where it cannot be read."""
    try:
        with open(under(root, path), "rb") as file:
            return file.read(LIMIT).decode(errors="replace")
    except OSError:
        return None


def lines_of(text: str) -> list[str]:
    """The lines with their ends. Only a newline ends a line, as it does for the programs that read the file."""
    parts = text.split("\n")
    return [f"{part}\n" for part in parts[:-1]] + parts[-1:] * bool(parts[-1])


def yaml_scalars(text: str) -> t.Optional[dict[str, t.Any]]:
    """Top-level keys of a YAML mapping: scalars, and of a mapping or a list one level of scalars.

    Enough for a KubeletConfiguration and for the configuration of K3s and RKE2, which are plain. Deeper levels are
    left out. JSON is read as a whole. None where the text is neither.
    """
    if text.lstrip().startswith("{"):
        try:
            document = json.loads(text)
        except ValueError:
            return None
        return document if isinstance(document, dict) else None
    found: dict[str, t.Any] = {}
    key = ""
    for line in text.splitlines():
        bare = re.sub(r"(^|\s)#.*$", "", line).rstrip()
        if not bare or bare in ("---", "..."):
            continue
        item = re.fullmatch(r"\s*-\s+(.*)", bare)
        pair = re.fullmatch(r"(\s*)(\"[^\"]+\"|'[^']+'|[^\s:#'\"-][^:#]*):(?:\s+(.*))?", bare)
        if item and key:
            if not isinstance(found[key], list):
                found[key] = []
            found[key].append(_yaml_value(item.group(1)))
        elif pair and not pair.group(1):
            key = pair.group(2).strip("\"'")
            found[key] = _yaml_value(pair.group(3) or "")
        elif pair and key and isinstance(found[key], (dict, type(None))):
            found[key] = {**(found[key] or {}), pair.group(2).strip("\"'"): _yaml_value(pair.group(3) or "")}
    return found


def _yaml_value(text: str) -> t.Any:
    if text.startswith("{") and text.endswith("}"):
        pairs = (part.partition(":") for part in text[1:-1].split(",") if ":" in part)
        return {name.strip().strip("\"'"): _yaml_value(value.strip()) for name, _colon, value in pairs}
    if text.startswith("[") and text.endswith("]"):
        return [_yaml_value(part.strip()) for part in text[1:-1].split(",") if part.strip()]
    if text[:1] in ("'", '"'):
        return text.strip(text[0])
    if text in ("", "~", "null"):
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else text
