# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting the restore runtime together: one file of Python for the node, and the shell front that calls it.

The file is a zip application of the modules that runtime.py needs, no others, as they lie in the collection.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import re

from .._common import zipped
from .ticket import BASE

VERSION = "1.0.0-dev0"
PACKAGE = "checkpoint_restore_runtime"
START = "_restore.runtime"
ZIP = "checkpoint-restore.pyz"
FRONT = "checkpoint-restore-runtime"
PLAIN_PATH = re.compile(r"/[A-Za-z0-9._/+-]+")

MAIN = f'''import sys
from {PACKAGE}.{START} import main
if sys.argv[1:] == ["--version"]:
    print("{FRONT} {VERSION}")
else:
    sys.exit(main(sys.argv[1:], {BASE!r}))
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
        *) [ -n "$word" ] && [ -e "$restores/$word" ] && exec {python} -IS {zip} {runtime} "$@" ;;
    esac
done
# A create may have a ticket. A container runtime that starts asks for features: what restores have left goes then.
if [ -n "$look" ]; then
    for found in {base}/tickets/*.json "$restores"/* "$restores"/.[!.]*; do
        [ -e "$found" ] && exec {python} -IS {zip} {runtime} "$@"
    done
fi
exec {runtime} "$@"
"""


def zip_application() -> bytes:
    """The file of Python."""
    return zipped.application(PACKAGE, [START], MAIN)


def front(runtime_path: str, python: str, zip_path: str, base: str = BASE) -> str:
    """The shell front. Raises ValueError for a path that the shell would take apart."""
    for path in (runtime_path, python, zip_path, base):
        if not PLAIN_PATH.fullmatch(path):
            raise ValueError(f"{path!r} is not a plain absolute path")
    return SHELL.format(front=FRONT, version=VERSION, runtime=runtime_path, python=python, zip=zip_path, base=base)
