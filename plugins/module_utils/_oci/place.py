# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From checkpoint_image's options to the place that they mean.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

from .arguments import connection
from .local import ImageFile, Layout
from .reference import Name
from .registry import Repository


def place_for(name: Name, params: t.Mapping[str, t.Any]) -> t.Union[Layout, ImageFile, Repository]:
    """Where layout, file, or else the name lead. Raises CheckpointError credentials_unusable, ca_unusable."""
    if params["layout"] is not None:
        return Layout(params["layout"], name)
    if params["file"] is not None:
        return ImageFile(params["file"], name)
    return Repository(connection(name, params, "pull,push"))
