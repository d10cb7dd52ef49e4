# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program behind tests/lab/lab: see README.md beside this file, or `tests/lab/lab --help`."""

import sys

from labkit.cli import entry

sys.exit(entry())
