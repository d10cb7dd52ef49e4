# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations as people write them: ``90``, ``90s``, ``10m``, ``1h30m``.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import re
import typing as t

from .errors import CheckpointError

_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[dhms])")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")


def parse_duration(value: t.Any, option: str, *, zero: bool = False) -> float:
    """Seconds meant by ``value``, a number of seconds or a text such as ``1h30m`` (units d, h, m, s, ms).

    Raises :class:`CheckpointError` ``invalid_option``, naming ``option``, for anything else; ``zero`` says whether
    none at all is a duration.
    """
    text = str(value).strip().lower()
    if _WHOLE.fullmatch(text):
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    elif re.fullmatch(r"\d+(?:\.\d+)?", text):
        seconds = float(text)
    else:
        seconds = -1.0
    if seconds < 0 or (seconds == 0 and not zero):
        raise CheckpointError(
            "invalid_option",
            f"{option} is not a duration{'' if zero else ' above zero'}: {value!r}",
            hint="Write a number of seconds, or for example 90s, 10m, 1h30m or 2d",
        )
    return seconds
