# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options for a registry.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  username:
    description:
      - User of the registry.
    type: str
  password:
    description:
      - Password or token that belongs to O(username).
    type: str
  authfile:
    description:
      - Path of a file with credentials as C(podman login) and C(docker login) write it. Credential helpers are not
        asked.
      - Only a file that is named here is read.
    type: path
  pull_secret:
    description:
      - Content of a Kubernetes pull secret, the value of C(.dockerconfigjson) after the filter C(b64decode).
      - To make an image, its user has to have the right to push.
    type: json
  ca_cert:
    description:
      - Path of the CA certificates (PEM) that the registry's certificate has to verify against, by default those that
        the host trusts.
    type: path
  plain_http:
    description:
      - Whether to speak HTTP without TLS, credentials included. Only for a registry on the same machine or in a lab.
    type: bool
    default: false
"""
