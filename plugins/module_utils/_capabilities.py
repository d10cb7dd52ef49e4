# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which version can do what, and what has to be set for it: the one table of this collection.

Private to this collection: no promise of compatibility to anybody else. Pure: asks nobody and reads nothing.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

Version = tuple[int, int, int]
Facts = t.Mapping[str, t.Any]

CRIU_MINIMUM: Version = (3, 16, 0)
"""What CRI-O and containerd ask for (go-criu utils/criu.go, PodCriuVersion = 31600, v7.0.0)."""

KERNEL_WITH_PASSCRED: Version = (6, 16, 0)
CRIU_WITH_PASSCRED: Version = (4, 2, 0)
"""Since Linux 6.16 SO_PASSCRED fails on sockets that are not UNIX sockets; CRIU minds that since 4.2 (criu #2711)."""

CONTAINERD_TABLE = 'plugins."io.containerd.cri.v1.runtime"'
"""The table of both switches in a configuration of version 3 (containerd plugins/cri/runtime/plugin.go, v2.3.5)."""
CONTAINERD_TABLE_V2 = 'plugins."io.containerd.grpc.v1.cri"'
"""The same in a configuration of version 2, which containerd 2 migrates (the same file, configMigration)."""

CRIO_OLD_TABLE, CRIO_OLD_KEY = "crio.runtime", "enable_criu_support"
CRIO_TABLE, CRIO_KEY = "crio.checkpoint_restore", "container_level_enabled"
CRIO_TABLE_SINCE: t.Mapping[int, int] = {34: 14, 35: 9, 36: 6}
"""Minor version of CRI-O 1 -> patch level that brought CRIO_TABLE (cri-o pull requests #10322, #10327, releases of
2026-09-21). The branches of 1.30 to 1.33 have it as well (#10336 to #10339), but from which patch level on is not known
here: their own listing tells (see runtime_switches)."""

CHECKPOINT_HANDLERS = ("runc", "crun")
"""OCI runtimes that checkpoint with CRIU."""


def parse_version(text: t.Optional[str]) -> t.Optional[Version]:
    """The first three numbers of a version, however it is decorated; None where there is none.

    ``v1.36.2+k3s1``, ``2.4.0-rc.1``, ``1.7.24~ds1`` and ``4.2`` are understood.
    """
    found = re.match(r"\s*v?(\d+)(?:\.(\d+))?(?:\.(\d+))?", text or "")
    if found is None:
        return None
    major, minor, patch = (int(number or 0) for number in found.groups())
    return major, minor, patch


def kubelet_gate(version: t.Union[str, Version]) -> str:
    """What the feature gate ContainerCheckpoint is without a setting: "absent", "off" or "on".

    Source: kubernetes pkg/features/kube_features.go (alpha in 1.25, beta and on since 1.30, still beta in v1.36.2).
    Raises ValueError where the text is no version.
    """
    number = _required(version)
    if number < (1, 25, 0):
        return "absent"
    return "off" if number < (1, 30, 0) else "on"


def kubelet_read_only_port_cve(version: t.Union[str, Version]) -> bool:
    """Whether the read-only port serves checkpoints to everybody (CVE-2025-0426, kubernetes #130016).

    True below 1.30 as well, where only a gate that was switched on exposes it. Raises ValueError where the text is no
    version.
    """
    number = _required(version)
    if not (1, 25, 0) <= number < (1, 33, 0):
        return False
    fixed = {29: 14, 30: 10, 31: 6, 32: 2}
    return number[1] not in fixed or number[2] < fixed[number[1]]


def _required(version: t.Union[str, Version]) -> Version:
    number = parse_version(version) if isinstance(version, str) else version
    if number is None:
        raise ValueError(f"{version!r} is not a version")
    return number


@dataclasses.dataclass(frozen=True)
class Switches:
    """What a version of a runtime has for checkpoint, and for restore by image.

    ``checkpoint`` is "none", "always" or "switch"; ``restore`` may be "removed" too. "always" for restore means: as
    soon as checkpoint is on. Tables are written as in TOML, between the brackets. ``checkpoint_on`` and
    ``checkpoint_off`` are the values of the key, as ``restore_on`` and ``restore_off`` are for restore; where both have
    the same key, ``restore_on`` leaves checkpoint on. ``advisories`` are those about restore by image which hold for
    this version while its restore is on. ``source`` names where it was read.
    """

    checkpoint: str
    restore: str
    source: str
    checkpoint_table: t.Optional[str] = None
    checkpoint_key: t.Optional[str] = None
    checkpoint_default: t.Any = None
    checkpoint_on: t.Any = None
    checkpoint_off: t.Any = None
    restore_table: t.Optional[str] = None
    restore_key: t.Optional[str] = None
    restore_on: t.Any = None
    restore_off: t.Any = None
    restore_default: t.Any = None
    advisories: tuple[str, ...] = ()


def runtime_switches(name: str, version: t.Union[str, Version], *, crio_table: t.Optional[bool] = None) -> Switches:
    """The switches of ``cri-o`` or ``containerd`` in a version.

    ``crio_table`` is whether CRI-O's own listing (``crio config``, ``crio status config``) shows CRIO_TABLE; it decides
    where it is known, otherwise the version does. Raises ValueError for another runtime, or a text that is no version.
    """
    number = _required(version)
    if name == "cri-o":
        return _crio(number, crio_table)
    if name == "containerd":
        return _containerd(number)
    raise ValueError(f"{name!r} is neither cri-o nor containerd")


def crio_has_table(version: t.Union[str, Version]) -> bool:
    """Whether CRI-O of this version is known to have CRIO_TABLE."""
    major, minor, patch = _required(version)
    if (major, minor) >= (1, 37):
        return True
    return minor in CRIO_TABLE_SINCE and patch >= CRIO_TABLE_SINCE[minor]


def _crio(number: Version, listed: t.Optional[bool]) -> Switches:
    if number < (1, 25, 0):
        return Switches("none", "none", "cri-o #4199, first released in v1.25.0")
    fixed = {29: 8, 30: 6, 31: 1}
    old = number < (1, 29, 0) or (number[1] in fixed and number[2] < fixed[number[1]])
    advisories = (*(("CVE-2024-8676",) if old else ()), "cri-o #10327, which turned it off")
    if crio_has_table(number) if listed is None else listed:
        return Switches(
            "switch",
            "switch",
            "cri-o #10248 and #10322, docs/crio.conf.5.md",
            checkpoint_table=CRIO_TABLE,
            checkpoint_key=CRIO_KEY,
            checkpoint_default="checkpoint_only",
            checkpoint_on="checkpoint_only",
            checkpoint_off="none",
            restore_table=CRIO_TABLE,
            restore_key=CRIO_KEY,
            restore_on="checkpoint_restore",
            restore_off="checkpoint_only",
            restore_default="checkpoint_only",
            advisories=advisories,
        )
    return Switches(
        "switch",
        # The annotation on an image means nothing to 1.25 (cri-o internal/annotations/checkpoint.go, v1.26.0).
        "always" if number >= (1, 26, 0) else "none",
        "cri-o pkg/config/config.go and server/container_create.go, v1.34.0 and v1.36.3; default: cri-o #7846",
        checkpoint_table=CRIO_OLD_TABLE,
        checkpoint_key=CRIO_OLD_KEY,
        checkpoint_default=number >= (1, 30, 0),
        checkpoint_on=True,
        checkpoint_off=False,
        advisories=advisories,
    )


def _containerd(number: Version) -> Switches:
    if number < (2, 0, 0):
        return Switches("none", "none", "containerd pkg/cri/server/service.go, v1.7.24: no CheckpointContainer")
    if number < (2, 1, 0):
        return Switches("always", "none", "containerd internal/cri/server/container_checkpoint_linux.go, v2.0.14")
    fixed = {1: 9, 2: 5, 3: 2}
    early = number[1] in fixed and number[2] < fixed[number[1]]
    advisories = (*(("CVE-2026-50195", "CVE-2026-53489", "CVE-2026-53492") if early else ()), "CVE-2026-95837")
    if number < (2, 2, 7) or (2, 3, 0) <= number < (2, 3, 4):
        where = "containerd internal/cri/server/container_checkpoint_linux.go, v2.1.9 and v2.2.3"
        return Switches("always", "always", where, advisories=advisories)
    switched: dict[str, t.Any] = {
        "checkpoint_table": CONTAINERD_TABLE,
        "checkpoint_key": "enable_criu",
        "checkpoint_default": True,
        "checkpoint_on": True,
        "checkpoint_off": False,
    }
    if number >= (2, 4, 0):
        where = "containerd internal/cri/config/config.go, v2.4.0 and v2.4.2; containerd #13871"
        return Switches("switch", "removed", where, **switched)
    return Switches(
        "switch",
        "switch",
        "containerd internal/cri/config/config.go, v2.2.8, v2.3.4 and v2.3.5; containerd #13913",
        **switched,
        restore_table=CONTAINERD_TABLE,
        restore_key="enable_experimental_restore_via_create",
        restore_on=True,
        restore_off=False,
        restore_default=False,
        # The release that the advisory calls fixed only switched restore off.
        advisories=advisories,
    )


class _Verdict:
    """Collects what speaks against a capability, what is not known, and what to do about it."""

    def __init__(self) -> None:
        self.against: list[str] = []
        self.unknown: list[str] = []
        self.hints: list[str] = []

    def no(self, reason: str, hint: str = "") -> None:
        self.against.append(reason)
        self.hint(hint)

    def hint(self, hint: str) -> None:
        if hint and hint not in self.hints:
            self.hints.append(hint)

    def as_dict(self) -> dict[str, t.Any]:
        able = False if self.against else None if self.unknown else True
        return {"able": able, "reasons": [*self.against, *self.unknown], "hints": self.hints}


def capabilities(facts: Facts) -> dict[str, dict[str, t.Any]]:
    """What a node can do, from the facts of checkpoint_node_info: keys ``checkpoint`` and ``restore_by_image``.

    Each has ``able`` (None: not enough is known), ``reasons`` (why not, or what is not known) and ``hints``: what to
    do, or with ``able`` true what to mind. Whatever is missing in the facts counts as not known.
    """
    checkpoint, restore = _Verdict(), _Verdict()
    _judge_kubelet(facts.get("kubelet") or {}, checkpoint)
    for verdict, what in ((checkpoint, "checkpoint"), (restore, "restore_by_image")):
        _judge_runtime(facts.get("runtime") or {}, what, verdict)
        _judge_handlers(facts.get("runtime") or {}, verdict)
        _judge_criu(facts, verdict)
    return {"checkpoint": checkpoint.as_dict(), "restore_by_image": restore.as_dict()}


def criu_capability(facts: Facts) -> dict[str, t.Any]:
    """Whether CRIU and the kernel of a node can do their part, whatever its runtime; the keys as above."""
    verdict = _Verdict()
    _judge_criu(facts, verdict)
    return verdict.as_dict()


def _judge_kubelet(kubelet: Facts, verdict: _Verdict) -> None:
    version = parse_version(kubelet.get("version"))
    if kubelet.get("running") is False:
        verdict.no("No kubelet runs on the node", "Start the kubelet")
    if version is None:
        verdict.unknown.append("The kubelet's version is not known")
        return
    shown = kubelet["version"]
    default = kubelet_gate(version)
    configured = (kubelet.get("gate") or {}).get("configured")
    if default == "absent":
        verdict.no(f"The kubelet {shown} has no checkpoints", "Upgrade Kubernetes to 1.30 or later")
    elif configured is False:
        verdict.no("The feature gate ContainerCheckpoint is switched off", "Remove the setting of the feature gate")
    elif default == "off" and configured is not True:
        verdict.no(
            f"The feature gate ContainerCheckpoint is off unless set in Kubernetes {version[0]}.{version[1]}",
            "Set the kubelet's feature gate ContainerCheckpoint to true",
        )
    port = kubelet.get("read_only_port")
    if kubelet_read_only_port_cve(version) and port != 0:
        reach = "is not known" if port is None else f"is {port}"
        verdict.hint(f"The kubelet {shown} has CVE-2025-0426 and its readOnlyPort {reach}: set it to 0")


def _judge_runtime(runtime: Facts, what: str, verdict: _Verdict) -> None:
    name, version = runtime.get("name"), runtime.get("version")
    words = "checkpoint" if what == "checkpoint" else "restore by image"
    if name not in ("cri-o", "containerd") or parse_version(version) is None:
        known = f"{name} {version or ''}".strip() if name else "The container runtime"
        verdict.unknown.append(f"{known} is not a runtime whose {words} is known")
        return
    switch = runtime.get(what) or {}
    kind = switch.get("kind")
    shown = f"{name} {version}"
    if runtime.get("running") is False:
        verdict.no(f"{name} is not running", f"Start {_unit(name)}")
    if kind == "none":
        hint = "Use containerd 2.0 or later, or CRI-O 1.25 or later" if what == "checkpoint" else ""
        verdict.no(f"{shown} has no {words}", hint)
    elif kind == "removed":
        verdict.no(f"{words.capitalize()} was removed from {name} before {version}", RESTORE_HINT)
    elif switch.get("on") is False:
        if runtime.get("restart_needed"):
            reason = f"{words.capitalize()} is off in {shown} since it was started without CRIU or with another setting"
            verdict.no(reason, f"Restart {_unit(name)}")
        else:
            checkpoint = runtime.get("checkpoint") or {}
            by = switch if checkpoint.get("on") is not False else checkpoint
            setting = f"{by.get('key')} in [{by.get('table')}]"
            hint = RESTORE_HINT if what != "checkpoint" else f"Set {setting} to {_toml(by.get('enable'))}"
            verdict.no(f"{words.capitalize()} is switched off in {shown} by {setting}", hint)
    elif switch.get("on") is None:
        verdict.unknown.append(f"It is not known whether {words} is switched on in {shown}")
        if runtime.get("restart_needed"):
            verdict.hint(f"Restart {_unit(name)}: its configuration changed after it was started")
    elif what != "checkpoint" and runtime.get("advisories"):
        verdict.hint(f"Restore by image is a risk with {shown}: {', '.join(runtime['advisories'])}")


RESTORE_HINT = "The restore runtime of this collection needs no restore by image"


def _unit(name: str) -> str:
    return "crio" if name == "cri-o" else name


def _toml(value: t.Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"'


def _judge_handlers(runtime: Facts, verdict: _Verdict) -> None:
    handlers = runtime.get("handlers")
    if not handlers:
        return
    fit = [entry for entry in handlers if entry.get("kind") in CHECKPOINT_HANDLERS and entry.get("criu") is not False]
    default = next((entry for entry in handlers if entry.get("default")), None)
    if not fit:
        verdict.no("No runtime handler of the node checkpoints", "Use runc, or crun built with CRIU")
    elif default is not None and default not in fit:
        verdict.hint(f"The default runtime handler {default['name']} does not checkpoint, {fit[0]['name']} does")


def _judge_criu(facts: Facts, verdict: _Verdict) -> None:
    criu, machine = facts.get("criu"), facts.get("machine") or {}
    if criu is None:
        verdict.unknown.append("It is not known whether CRIU is installed")
        return
    if not criu.get("path"):
        verdict.no("CRIU is not installed", "Install CRIU 4.2 or later")
        return
    version, kernel = parse_version(criu.get("version")), parse_version(machine.get("kernel"))
    if version is None:
        verdict.unknown.append("The version of CRIU is not known")
    elif version < CRIU_MINIMUM:
        verdict.no(f"CRIU {criu['version']} is too old", "Install CRIU 4.2 or later")
    elif kernel is not None and kernel >= KERNEL_WITH_PASSCRED and version < CRIU_WITH_PASSCRED:
        verdict.hint(
            f"CRIU {criu['version']} fails on Linux {machine['kernel']} for every container with a TCP or UDP socket: "
            "install CRIU 4.2 or later"
        )
    if (criu.get("check") or {}).get("ok") is False:
        verdict.no(f"criu check: {criu['check'].get('message') or 'failed'}", "Run criu check --all on the node")
    if (machine.get("kernel_options") or {}).get("CONFIG_CHECKPOINT_RESTORE") == "n":
        verdict.no("The kernel was built without CONFIG_CHECKPOINT_RESTORE", "Use a kernel that has it")
