# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter checkpoint_findings."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Mapping, Sequence

from ansible.errors import AnsibleFilterError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.findings_site import with_site


def _plain(value: t.Any) -> t.Any:
    """Without the types of Ansible's own, which JMESPath does not take for texts."""
    return json.loads(json.dumps(value))


def checkpoint_findings(inspection: t.Any, rules: t.Any) -> list[dict[str, t.Any]]:
    """See checkpoint_findings.yml."""
    if not isinstance(inspection, Mapping) or "identity" not in inspection:
        raise AnsibleFilterError("checkpoint_findings needs what checkpoint_inspect returned")
    if not isinstance(rules, Sequence) or isinstance(rules, str):
        raise AnsibleFilterError("The rules of checkpoint_findings are a list")
    try:
        import jmespath
    except ImportError as error:
        raise AnsibleFilterError(
            "checkpoint_findings needs the Python library jmespath on the controller. "
            f"Install it for the Python that runs Ansible. Original message: {error}"
        ) from error
    try:
        return with_site(_plain(inspection), _plain(rules), jmespath)
    except CheckpointError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"checkpoint_findings": checkpoint_findings}
