# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive as a file: what a list and an inspection both begin with. Imports nothing that only an inspection needs.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

from .._archive.archive import Archive
from .._common.moments import utc


def described(archive: Archive) -> dict[str, t.Any]:
    """The archive as a file."""
    return {
        "path": archive.path,
        "format": archive.form,
        "compression": archive.compression,
        "layer_digest": archive.layer,
        "reference": archive.reference,
        "size": archive.size,
        "modified": utc(archive.mtime) if archive.form != "registry" else None,
    }
