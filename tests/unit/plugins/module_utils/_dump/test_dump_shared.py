# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container wrote to volumes that another node reads: which they are, and that it is written back."""

from __future__ import annotations

import json
import pathlib
import tempfile
import threading
import time

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump.limits import Limits
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._dump.shared import shared, write_back
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._restore.bundle import Bundle


def limits() -> Limits:
    return Limits(time.monotonic() + 10, threading.Event())


def test_only_what_another_node_may_read_is_meant(tmp_path: pathlib.Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        assert pathlib.Path(other).stat().st_dev != own.stat().st_dev
        mounts = [
            {"destination": "/data", "type": "bind", "source": other, "options": ["rbind", "rw"]},
            {"destination": "/again", "type": "bind", "source": other},
            {"destination": "/read", "type": "bind", "source": f"{other}/", "options": ["ro"]},
            {"destination": "/own", "type": "bind", "source": str(own)},
            {"destination": "/gone", "type": "bind", "source": f"{other}/gone"},
            {"destination": "/null", "type": "bind", "source": "/dev/null"},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
        ]
        bundle = {"process": {}, "root": {"path": "rootfs"}, "mounts": mounts}
        (tmp_path / "config.json").write_text(json.dumps(bundle))
        found = shared(Bundle(str(tmp_path)), str(own))
        assert found == [other]
        write_back(found, limits())


def test_what_cannot_be_written_back_is_told(tmp_path: pathlib.Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        write_back([str(tmp_path / "gone")], limits())
    assert caught.value.code == "volume_not_written" and "gone" in caught.value.message
