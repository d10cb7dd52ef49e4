# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error of the laboratory."""

from __future__ import annotations


class LabError(Exception):
    """What went wrong, as one line for the person at the terminal; shown without a traceback."""
