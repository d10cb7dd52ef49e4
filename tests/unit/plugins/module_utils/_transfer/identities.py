# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates for tests, made by openssl: the nodes' part has no library for it."""

from __future__ import annotations

import base64
import functools
import pathlib
import subprocess
import tempfile


def identity(name: str = "one") -> str:
    """A certificate that signs itself and its key, as the channel takes them; the same for the same name."""
    return base64.b64encode(pem(name).encode()).decode()


@functools.cache
def pem(name: str = "one") -> str:
    """Both as they are in files."""
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = pathlib.Path(folder, "key"), pathlib.Path(folder, "certificate")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
            + ["-subj", f"/CN={name}", "-keyout", str(key), "-out", str(certificate)],
            check=True,
            capture_output=True,
        )
        return certificate.read_text() + key.read_text()
