# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules of this collection as one file of Python, for a machine that has none of them.

It is the same for the same sources and the same Python: the modules are in it as source, and compiled, so that nobody
waits for a compiler. Compiled ones that another Python does not understand are passed over.

Sources: PEP 441 (zip applications), PEP 552 (hash-based .pyc, unchecked), Python 3.9 zipimport.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import marshal
import typing as t
import zipfile

WHEN = (1980, 1, 1, 0, 0, 0)


def application(package: str, starts: t.Sequence[str], main: str) -> bytes:
    """A zip application with the modules of these names below module_utils, as ``package``, and all that they import.

    ``main``: the source of its ``__main__``.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        _add(archive, "__main__", main.encode())
        _add(archive, f"{package}/__init__", b"")
        for path, source in sorted(modules(starts).items()):
            _add(archive, f"{package}/{path}", source)
    return out.getvalue()


def modules(starts: t.Sequence[str]) -> dict[str, bytes]:
    """Path (without its ending) and source of these modules, and of every one that they need."""
    found: dict[str, bytes] = {}
    seen: set[str] = {""}
    pending = list(starts)
    while pending:
        name = pending.pop()
        known = _source(name) if name not in seen else None
        seen.add(name)
        if known is None:
            continue
        source, is_package = known
        found[name.replace(".", "/") + ("/__init__" if is_package else "")] = source
        pending += [name.rpartition(".")[0], *_imports(name, source)]
    return found


def _source(name: str) -> t.Optional[tuple[bytes, bool]]:
    """The source of a module of this collection by its name below module_utils, None where there is no such module.

    And whether it is a package: those have nothing in them that imports.
    """
    top = __name__.rsplit(".", 2)[0]
    try:
        specification = importlib.util.find_spec(f"{top}.{name}")
    except ModuleNotFoundError:
        return None
    if specification is None or specification.loader is None:
        return None
    get_source = getattr(specification.loader, "get_source", None)
    if get_source is None:
        return None
    source = get_source(specification.name)
    # Ansible's loader of collections gives bytes, whatever importlib's documentation says.
    data = source.encode() if isinstance(source, str) else bytes(source or b"")
    return data, specification.submodule_search_locations is not None


def _imports(name: str, source: bytes) -> t.Iterator[str]:
    """The modules of this collection that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            parts = name.split(".")[: -node.level]
            base = ".".join([*parts, *((node.module or "").split(".") if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}".lstrip(".") for alias in node.names)


def _add(archive: zipfile.ZipFile, path: str, source: bytes) -> None:
    code = compile(source, f"checkpoint-restore.pyz/{path}.py", "exec", dont_inherit=True)
    # A header of four words, PEP 552: magic number, flags (1: hash-based, unchecked), the hash of the source.
    header = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(source)
    for suffix, data in ((".py", source), (".pyc", header + marshal.dumps(code))):
        archive.writestr(zipfile.ZipInfo(path + suffix, WHEN), data)
