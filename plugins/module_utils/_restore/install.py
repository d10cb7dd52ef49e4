# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting the restore runtime together: one file of Python for the node, and the shell front that calls it.

The file is a zip application of the modules that runtime.py needs, no others, as they lie in the collection. It is the
same for the same sources and the same Python: the modules are in it as source, and compiled, so that a restore does not
wait for a compiler. Compiled ones that another Python does not understand are passed over.

Sources: PEP 441 (zip applications), PEP 552 (hash-based .pyc, unchecked), Python 3.9 zipimport.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import marshal
import re
import typing as t
import zipfile

from .ticket import BASE

VERSION = "1.0.0-dev0"
PACKAGE = "checkpoint_restore_runtime"
START = "_restore.runtime"
ZIP = "checkpoint-restore.pyz"
FRONT = "checkpoint-restore-runtime"
WHEN = (1980, 1, 1, 0, 0, 0)
PLAIN_PATH = re.compile(r"/[A-Za-z0-9._/+-]+")

MAIN = f'''import sys
from {PACKAGE}.{START} import main
if sys.argv[1:] == ["--version"]:
    print("{FRONT} {VERSION}")
else:
    sys.exit(main(sys.argv[1:]))
'''

SHELL = """\
#!/bin/sh
# {front} {version}: an OCI runtime that restores containers that have a ticket, and is {runtime} for all others.
# Made by the collection checkpoint_restore.kubernetes.
restores={base}/restores
look=
for word; do
    case $word in
        create | features) look=yes ;;
        */*) ;;
        *) [ -n "$word" ] && [ -e "$restores/$word" ] && exec {python} -I {zip} {runtime} "$@" ;;
    esac
done
# A create may have a ticket. A container runtime that starts asks for features: what restores have left goes then.
if [ -n "$look" ]; then
    for found in {base}/tickets/*.json "$restores"/* "$restores"/.[!.]*; do
        [ -e "$found" ] && exec {python} -I {zip} {runtime} "$@"
    done
fi
exec {runtime} "$@"
"""


def _source(name: str) -> t.Optional[bytes]:
    """The source of a module of this collection by its name below module_utils, None where there is no such module."""
    top = __name__.rsplit(".", 2)[0]
    try:
        specification = importlib.util.find_spec(f"{top}.{name}")
    except ModuleNotFoundError:
        return None
    if specification is None or specification.loader is None:
        return None
    get_source = getattr(specification.loader, "get_source", None)
    return get_source(specification.name).encode() if get_source is not None else None


def _imports(name: str, source: bytes) -> t.Iterator[str]:
    """The modules of this collection that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            parts = name.split(".")[: -node.level]
            base = ".".join([*parts, *((node.module or "").split(".") if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def modules() -> dict[str, bytes]:
    """Name and source of every module that the runtime needs."""
    found: dict[str, bytes] = {}
    pending = [START]
    while pending:
        name = pending.pop()
        if name in found or not name:
            continue
        source = _source(name)
        if source is None:
            continue
        found[name] = source
        pending += [name.rpartition(".")[0], *_imports(name, source)]
    return found


def zip_application() -> bytes:
    """The file of Python."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        _add(archive, "__main__", MAIN.encode())
        _add(archive, f"{PACKAGE}/__init__", b"")
        for name, source in sorted(modules().items()):
            path = f"{PACKAGE}/{name.replace('.', '/')}"
            _add(archive, path if "." in name else f"{path}/__init__", source)
    return out.getvalue()


def _add(archive: zipfile.ZipFile, path: str, source: bytes) -> None:
    code = compile(source, f"{ZIP}/{path}.py", "exec", dont_inherit=True)
    # A header of four words, PEP 552: magic number, flags (1: hash-based, unchecked), the hash of the source.
    header = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(source)
    for suffix, data in ((".py", source), (".pyc", header + marshal.dumps(code))):
        archive.writestr(zipfile.ZipInfo(path + suffix, WHEN), data)


def front(runtime_path: str, python: str, zip_path: str, base: str = BASE) -> str:
    """The shell front. Raises ValueError for a path that the shell would take apart."""
    for path in (runtime_path, python, zip_path, base):
        if not PLAIN_PATH.fullmatch(path):
            raise ValueError(f"{path!r} is not a plain absolute path")
    return SHELL.format(front=FRONT, version=VERSION, runtime=runtime_path, python=python, zip=zip_path, base=base)
