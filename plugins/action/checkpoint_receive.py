# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the certificate for one transfer on the controller, gives it to the module, and adds it to the offer.

The module itself never returns it: what Ansible logs on the node is free of the key.
"""

from __future__ import annotations

import base64
import datetime
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.durations import parse_duration
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError

EARLIER = datetime.timedelta(minutes=10)
"""By how much the clocks of the machines may be behind this one."""

EXPIRES_IN = "1h"


class ActionModule(ActionBase):
    """Completes the arguments and the result of the module."""

    TRANSFERS_FILES = False
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """The module's result."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if arguments.get("state", "present") == "present" and not arguments.get("identity"):
            try:
                seconds = parse_duration(arguments.get("expires_in") or EXPIRES_IN, "expires_in")
                arguments["identity"] = made_identity(seconds)
            except CheckpointError as error:
                return {**result, "failed": True, "msg": str(error), **error.as_dict()}
        module = "checkpoint_restore.kubernetes.checkpoint_receive"
        result.update(self._execute_module(module_name=module, module_args=arguments, task_vars=task_vars))
        if result.get("offer"):
            result["offer"] = {**result["offer"], "identity": arguments["identity"]}
        return result


def made_identity(seconds: float) -> str:
    """A certificate that signs itself, and its key (EC P-256), good for so many seconds from now.

    In the form that Identity of module_utils takes.

    Raises CheckpointError library_missing, invalid_option.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise CheckpointError(
            "library_missing",
            "The Python library cryptography is not installed on the controller",
            hint="It comes with ansible-core: install that anew",
            message=str(error),
        ) from error
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "one checkpoint")])
    now = datetime.datetime.now(datetime.timezone.utc)
    try:
        end = now + datetime.timedelta(seconds=seconds)
    except OverflowError as error:
        raise CheckpointError("invalid_option", f"expires_in is too long: {seconds:g} s") from error
    usage = [x509.ExtendedKeyUsageOID.SERVER_AUTH, x509.ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usage), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return base64.b64encode(certificate.public_bytes(serialization.Encoding.PEM) + private).decode("ascii")
