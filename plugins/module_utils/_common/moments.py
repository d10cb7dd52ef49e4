# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moments as text.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9.
"""

from __future__ import annotations

import datetime


def utc(seconds: float, precision: str = "seconds") -> str:
    """Seconds since 1970 as RFC 3339 in UTC, such as ``2026-11-21T09:18:00Z``; what no calendar has, as 1970.

    ``precision``: "seconds", "milliseconds" or "microseconds"; what is beyond is cut off.
    """
    try:
        moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    except (ValueError, OverflowError, OSError):
        moment = datetime.datetime.fromtimestamp(0, datetime.timezone.utc)
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")
