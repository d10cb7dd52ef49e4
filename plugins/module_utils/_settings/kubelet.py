# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of the kubelet, in whatever form the node has it.

Private to this collection: no promise of compatibility to anybody else. Standard library only, Python 3.9.
"""

from __future__ import annotations

import os
import re
import typing as t

from .._capabilities import kubelet_gate, kubelet_read_only_port_cve
from .._common.errors import CheckpointError
from .._node.files import lines_of, names_in, yaml_scalars
from .._node.kubelet import GATE, READ_ONLY_PORT
from .._node.processes import option
from . import kubelet_form, yaml
from .changes import OURS, FileChange, Plan, change, conflict, read, without_ours
from .kubelet_form import Form
from .marks import MARK, appended, marked

COMPONENT = "kubelet"
FLAGS = {"runtimeRequestTimeout": "runtime-request-timeout", "readOnlyPort": "read-only-port"}
ADDED = f"{MARK} added: "
"""Stands above the line of kubeadm's flags, which has no place for a comment."""

HEAD = ("apiVersion: kubelet.config.k8s.io/v1beta1", "kind: KubeletConfiguration")

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def seconds(text: t.Any) -> t.Optional[float]:
    """A duration as Go writes it, for example 4m0s; None if it is not one."""
    if text in (0, "0"):
        return 0.0
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)", str(text))
    if not parts or "".join(number + unit for number, unit in parts) != str(text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def plan(root: str, settings: t.Mapping[str, t.Any], versions: t.Mapping[str, t.Any], state: str) -> Plan:
    """What to change. ``versions``: ``kubelet``. ``settings``: ``runtime_request_timeout`` (a duration),
    ``close_read_only_port``, ``extra`` (fields of a KubeletConfiguration).

    Raises CheckpointError: ``not_supported``, ``invalid_option``, ``conflicting_setting``, ``configuration_form``,
    ``kubelet_not_found``, ``unreadable_configuration``.
    """
    if state == "absent":
        gone = _take_back(root, except_for="")
        return Plan(COMPONENT, gone, kubelet_form.find(root).units if gone else ())
    form = kubelet_form.find(root)
    version = str(versions["kubelet"])
    gate = kubelet_gate(version)
    if gate == "absent":
        raise CheckpointError(
            "not_supported", f"The kubelet {version} has no checkpoints", hint="Upgrade Kubernetes to 1.30 or later"
        )
    before = read(root, form.path)
    theirs = _without(form.path, before)
    now = _effective(root, form, theirs)
    wanted = _wanted(root, settings, gate, now, form)
    _check_later(root, form, wanted)
    try:
        after = _with(form, theirs, wanted)
    except ValueError as error:
        raise CheckpointError(
            "configuration_form",
            f"{form.path} cannot be changed: {error}",
            hint="Start the kubelet with --config-dir (Kubernetes 1.30 or later), or write the setting yourself",
        ) from error
    changes = change(form.path, before, after, yaml.described(wanted) or OURS)
    return Plan(COMPONENT, changes + _take_back(root, except_for=form.path), form.units, _warnings(version))


def _warnings(version: str) -> tuple[str, ...]:
    if not kubelet_read_only_port_cve(version):
        return ()
    risk = "whoever reaches its read-only port can fill the disk with checkpoints"
    return (f"The kubelet {version} has CVE-2025-0426: {risk}. Keep readOnlyPort at 0, and upgrade.",)


def _wanted(root: str, settings: t.Mapping[str, t.Any], gate: str, now: yaml.Fields, form: Form) -> dict[str, t.Any]:
    extra = settings.get("extra") or {}
    try:
        yaml.lines_for(dict(extra))
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            "invalid_option",
            "extra is not a dictionary of fields of a KubeletConfiguration, with plain values or dictionaries of them",
            message=str(error),
        ) from error
    if extra and form.kind in ("flags", "rancher"):
        raise CheckpointError("configuration_form", "extra needs a kubelet with a configuration file")
    wanted: dict[str, t.Any] = {}
    gates = now.get("featureGates")
    set_to = gates.get(GATE) if isinstance(gates, dict) else None
    if set_to is False:
        raise conflict("The kubelet's configuration", f"{GATE}: false", f"the feature gate {GATE}")
    if gate == "off" and set_to is not True:
        wanted["featureGates"] = {GATE: True}
    timeout = settings.get("runtime_request_timeout")
    if timeout:
        if seconds(timeout) is None:
            raise CheckpointError(
                "invalid_option", f"runtime_request_timeout {timeout!r} is no duration", hint="For example 10m or 1h30m"
            )
        # 0 stands for the default, two minutes (kubernetes pkg/kubelet/apis/config/v1beta1/defaults.go).
        if (seconds(now.get("runtimeRequestTimeout", "2m")) or 120.0) != seconds(timeout):
            wanted["runtimeRequestTimeout"] = str(timeout)
    if settings.get("close_read_only_port", True) and now.get("readOnlyPort", 0) != 0:
        wanted["readOnlyPort"] = 0
    for name, value in extra.items():
        if isinstance(value, dict):
            had = now.get(name)
            missing = {key: item for key, item in value.items() if not isinstance(had, dict) or had.get(key) != item}
            if missing:
                wanted[name] = {**(wanted.get(name) or {}), **missing}
        elif now.get(name) != value:
            wanted[name] = value
    for name, value in wanted.items():
        _check_flags(root, form, name, value)
    return wanted


def _check_flags(root: str, form: Form, name: str, value: t.Any) -> None:
    """Flags stand above every file."""
    flag = FLAGS.get(name)
    if flag is None or form.kind in ("flags", "rancher"):
        return
    given = option(form.argv, f"--{flag}")
    for distribution in kubelet_form.RANCHER:
        if form.units[0].startswith(distribution):
            asked = _from_rancher(root, kubelet_form.rancher_file(distribution)).get(name)
            given = given if asked is None else str(asked)
    if given is None:
        return
    if given != str(value) and (seconds(given) is None or seconds(given) != seconds(value)):
        raise conflict("The command line of the kubelet", f"--{flag}={given}", f"{name}: {value}")


def _check_later(root: str, form: Form, wanted: yaml.Fields) -> None:
    """The drop-in files that the kubelet reads after ours stand above it."""
    folder, ours = os.path.split(form.path)
    if form.kind != "drop_in":
        return
    for name in names_in(folder, root):
        if name > ours and name.endswith(".conf"):
            fields = yaml_scalars(read(root, os.path.join(folder, name)) or "") or {}
            for field, value in wanted.items():
                there = fields.get(field, value)
                same = (
                    {**there, **value} == there
                    if isinstance(value, dict) and isinstance(there, dict)
                    else there == value
                )
                if not same:
                    raise conflict(os.path.join(folder, name), f"{field}: {there}", f"{field}: {value}")


def _effective(root: str, form: Form, theirs: t.Optional[str]) -> dict[str, t.Any]:
    """The fields as they are without us."""
    texts = []
    if form.kind == "drop_in":
        folder = os.path.dirname(form.path)
        base = read(root, form.base) if form.base else None
        texts = [base or ""]
        for name in names_in(folder, root):
            if name.endswith(".conf"):
                path = os.path.join(folder, name)
                texts.append((theirs if path == form.path else read(root, path)) or "")
    elif form.kind == "file":
        texts = [theirs or ""]
    elif form.kind == "flags":
        return _from_flags(form, theirs or "")
    elif form.kind == "rancher":
        return _from_rancher(root, form.path)
    elif form.kind == "microshift":
        return _from_microshift(root, theirs or "")
    fields: dict[str, t.Any] = {}
    for text in texts:
        for name, value in (yaml_scalars(text) or {}).items():
            merged = isinstance(value, dict) and isinstance(fields.get(name), dict)
            fields[name] = {**fields[name], **value} if merged else value
    return fields


def _from_flags(form: Form, text: str) -> dict[str, t.Any]:
    """Without a configuration file the read-only port is open unless a flag closes it."""
    words = [*form.argv, *re.split(r"[\s\"']+", text)]
    # What runs now may have our own flags: only those count that the file has without us, and those of others.
    ours = set(_words(text))
    fields: dict[str, t.Any] = {"readOnlyPort": READ_ONLY_PORT}
    for name, flag in FLAGS.items():
        value = option([word for word in words if word in ours or f"--{flag}" not in word], f"--{flag}")
        if value is not None:
            fields[name] = int(value) if value.isdigit() else value
    gates = option(list(ours), "--feature-gates") or ""
    fields["featureGates"] = {key: item == "true" for key, _equals, item in _pairs(gates)}
    return fields


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s\"']+", text.partition("=")[2]) if word]


def _pairs(text: str) -> list[tuple[str, str, str]]:
    return [pair.partition("=") for pair in text.split(",") if "=" in pair]


def _from_rancher(root: str, ours: str) -> dict[str, t.Any]:
    """K3s and RKE2 close the read-only port themselves (k3s pkg/daemons/agent/agent_linux.go)."""
    folder = os.path.dirname(ours)
    top = os.path.dirname(folder)
    fields: dict[str, t.Any] = {"readOnlyPort": 0, "featureGates": {}}
    for path in [os.path.join(top, "config.yaml"), *(os.path.join(folder, name) for name in names_in(folder, root))]:
        if path == ours:
            continue
        document = yaml_scalars(read(root, path) or "") or {}
        given = [*_listed(document.get("kubelet-arg")), *_listed(document.get("kubelet-arg+"))]
        for name, _equals, value in _pairs(",".join(given)):
            if name == "feature-gates":
                fields["featureGates"].update({key: item == "true" for key, _is, item in _pairs(value)})
            for field, flag in FLAGS.items():
                if name == flag:
                    fields[field] = int(value) if value.isdigit() else value
    return fields


def _listed(value: t.Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)] if value else []


def _from_microshift(root: str, theirs: str) -> dict[str, t.Any]:
    """Only the section kubelet counts, one level deeper than in a KubeletConfiguration."""
    folder = os.path.dirname(kubelet_form.MICROSHIFT)
    fields: dict[str, t.Any] = {}
    for path in ["/etc/microshift/config.yaml", *(os.path.join(folder, name) for name in names_in(folder, root))]:
        text = theirs if path == kubelet_form.MICROSHIFT else read(root, path) or ""
        inside = False
        section = []
        for line in lines_of(text):
            if re.match(r"\S", line) and not line.startswith("#"):
                inside = line.startswith("kubelet:")
            elif inside:
                section.append(line)
        margin = min((len(line) - len(line.lstrip()) for line in section if line.strip()), default=0)
        fields.update(yaml_scalars("".join(line[margin:] for line in section)) or {})
    return fields


def _without(path: str, text: t.Optional[str]) -> t.Optional[str]:
    """The file without us; the flags file has its own way of telling what is ours."""
    if path != kubelet_form.FLAGS_FILE or text is None:
        return without_ours(text)
    kept: list[str] = []
    words: list[str] = []
    for line in lines_of(text):
        if line.startswith(ADDED):
            words = line[len(ADDED) :].split()
            continue
        bare = line
        for word in words:
            bare = bare.replace(f" {word}", "", 1)
        words = []
        kept.append(bare)
    return "".join(kept)


def _flags(wanted: yaml.Fields) -> list[str]:
    flags = []
    for name, value in wanted.items():
        pairs = [f"feature-gates={key}={yaml.scalar(item)}" for key, item in value.items()] if name not in FLAGS else []
        flags += pairs or [f"{FLAGS[name]}={value}"]
    return flags


def _with(form: Form, theirs: t.Optional[str], wanted: yaml.Fields) -> t.Optional[str]:
    if not wanted:
        return theirs
    if form.kind == "file":
        return yaml.edited(theirs or "", wanted)
    if form.kind == "flags":
        return _with_flags(theirs or "", [f"--{flag}" for flag in _flags(wanted)])
    if form.kind == "drop_in" and theirs:
        return yaml.edited(theirs, wanted)
    if form.kind == "drop_in":
        lines = [*HEAD, *yaml.lines_for(wanted)]
    elif form.kind == "rancher":
        lines = ["kubelet-arg+:", *(f"  - {flag}" for flag in _flags(wanted))]
    else:
        lines = ["kubelet:", *yaml.lines_for(wanted, "  ")]
    if theirs:
        raise ValueError("somebody else added lines to it: move them to a file of their own")
    return appended("", "".join(map(marked, lines)))


def _with_flags(text: str, flags: t.Sequence[str]) -> str:
    lines = lines_of(text)
    for number, line in enumerate(lines):
        found = re.match(r'(KUBELET_KUBEADM_ARGS="[^"]*)(".*)$', line, re.DOTALL)
        if found:
            added = "".join(f" {flag}" for flag in flags)
            lines[number] = f"{ADDED}{' '.join(flags)}\n{found[1]}{added}{found[2]}"
            return "".join(lines)
    raise ValueError('it has no line KUBELET_KUBEADM_ARGS="…"')


def _take_back(root: str, except_for: str) -> tuple[FileChange, ...]:
    """Our lines in any file but this one."""
    changes: tuple[FileChange, ...] = ()
    for path in kubelet_form.candidates(root):
        if path != except_for:
            before = read(root, path)
            changes += change(path, before, _without(path, before), OURS)
    return changes
