# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kubelet and this node's container runtime will make of a pod document, before they have made it.

The result is a bundle as the restore runtime will find it, as far as the comparison of rights looks at it. What only
the image knows (its user and that user's groups) is taken from the configuration that the container was dumped with.

Sources: kubernetes pkg/kubelet/kuberuntime/security_context.go, pkg/kubelet/kubelet_pods.go (makeMounts),
pkg/securitycontext/util.go, v1.36.2; containerd internal/cri/server/container_create_linux.go and
pkg/oci/spec.go (defaultUnixCaps), v2.1.9; cri-o server/container_create_linux.go and pkg/config/config.go, v1.36.3.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import os
import typing as t

from .._criu.images import Images
from .._criu.names import CAPABILITIES
from .._criu.wire import text
from .bundle import Bundle
from .preflight_base import Node, Subject, Wanted, mapping, objects, texts
from .preflight_process import container_of
from .security import dumped_mounts, mount_point

DEFAULT_CAPABILITIES = {
    "containerd": (
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW"),
        *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    ),
    "cri-o": (
        *("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "SETGID", "SETUID", "SETPCAP", "NET_BIND_SERVICE", "KILL"),
    ),
}
MASKED = (
    *("/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats"),
    *("/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"),
    "/sys/devices/virtual/powercap",
)
MASKED_BY_CRIO = ("/sys/fs/selinux",)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
MADE_BY_RUNTIME = ("/dev/shm", "/etc/hostname", "/etc/resolv.conf")
MADE_BY_CRIO = ("/run/.containerenv", "/run/secrets")
AS_THE_ROOT = ("/etc/hostname", "/etc/resolv.conf", "/run/.containerenv")
"""Files of the runtime that are read-only where the pod's root file system is."""

KERNEL = ("/sys", "/sys/fs/cgroup")
"""Read-only unless the container is privileged."""

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"
TERMINATION_LOG = "/dev/termination-log"
EMPTY = "/dev/null/empty"
"""Where an emptyDir volume will be: a place where there is certainly nothing yet."""

READ_ONLY_VOLUMES = ("configMap", "downwardAPI", "projected", "secret")
FAMILIES = {"CRI-O": "cri-o", "containerd": "containerd"}


class Planned(Bundle):
    """A bundle that is not on the disk yet: its configuration as foreseen, and no root to follow links in."""

    def __init__(self, config: dict[str, t.Any]) -> None:
        # Nothing exists below it, so that every path stands for itself.
        self.path = self.root = os.devnull
        self.config_path = os.devnull
        self.text = b""
        self.config = config
        self.annotations = {}
        self.process = config["process"]
        self.linux = config["linux"]


def _number(*values: t.Any) -> t.Optional[int]:
    return next((value for value in values if isinstance(value, int) and not isinstance(value, bool)), None)


def _capabilities(context: dict[str, t.Any], node: Node) -> list[str]:
    if context.get("privileged") is True:
        return list(CAPABILITIES)
    changed = mapping(context.get("capabilities"))
    add, drop = ([name.upper().removeprefix("CAP_") for name in texts(changed.get(key))] for key in ("add", "drop"))
    usual = DEFAULT_CAPABILITIES.get(node.runtime.get("name") or "", DEFAULT_CAPABILITIES["containerd"])
    held = {f"CAP_{name}" for name in (node.crio_capabilities or usual)}
    held = set(CAPABILITIES) if "ALL" in add else set() if "ALL" in drop else held
    held |= {f"CAP_{name}" for name in add if name != "ALL"}
    return sorted(held - {f"CAP_{name}" for name in drop})


def _user(context: dict[str, t.Any], pod: dict[str, t.Any], dumped: dict[str, t.Any]) -> dict[str, t.Any]:
    uid = _number(context.get("runAsUser"), pod.get("runAsUser"), dumped.get("uid")) or 0
    gid = _number(context.get("runAsGroup"), pod.get("runAsGroup"), dumped.get("gid")) or 0
    # The groups of the image's user, if it still is that one; its own group is among them.
    groups = [found for found in _list(dumped.get("additionalGids")) if found != dumped.get("gid")]
    groups = groups if uid == (_number(dumped.get("uid")) or 0) else []
    groups += [pod.get("fsGroup"), *_list(pod.get("supplementalGroups"))]
    numbers = [found for found in (_number(value) for value in groups) if found is not None]
    return {"uid": uid, "gid": gid, "additionalGids": sorted(set(numbers))}


def _list(value: t.Any) -> list[t.Any]:
    return value if isinstance(value, list) else []


def _seccomp(context: dict[str, t.Any], pod: dict[str, t.Any]) -> bool:
    profile = mapping(context.get("seccompProfile")) or mapping(pod.get("seccompProfile"))
    return context.get("privileged") is not True and profile.get("type") in ("RuntimeDefault", "Localhost")


def renamed(spec: dict[str, t.Any], images: Images) -> dict[str, str]:
    """Mount paths of the pod by what they are in the dump, where a link of the image leads elsewhere.

    A path of the old configuration that is no mount point of the dump belongs to the one mount point of the same last
    name that is no path of the configuration, as /var/run/secrets/... does to /run/secrets/... .
    """
    points = {mount_point(fields) for fields in dumped_mounts(images) if text(fields, "ext_key")}
    binds = [mount for mount in objects(spec.get("mounts")) if mount.get("type") == "bind"]
    paths = {str(mount.get("destination")) for mount in binds}
    found: dict[str, str] = {}
    for path in paths - points:
        fitting = [point for point in points - paths if os.path.basename(point) == os.path.basename(path)]
        if len(fitting) == 1:
            found[path] = fitting[0]
    return found


class PodMount(t.NamedTuple):
    """A mount of the pod: whether read-only, and where its content is on this node, empty if that is not known."""

    read_only: bool
    source: str = ""


def pod_mounts(wanted: Wanted, name: str) -> dict[str, PodMount]:
    """What the kubelet mounts into the container, by where."""
    container = container_of(wanted.definition, name)
    pod = mapping(wanted.definition.get("spec"))
    kinds = {volume.get("name"): volume for volume in objects(pod.get("volumes"))}
    log = str(container.get("terminationMessagePath") or TERMINATION_LOG)
    found = {"/etc/hosts": PodMount(False), log: PodMount(False)}
    for mount in objects(container.get("volumeMounts")):
        volume = mapping(kinds.get(mount.get("name")))
        fixed = any(kind in volume for kind in READ_ONLY_VOLUMES)
        path = os.path.normpath(str(mount.get("mountPath") or "/"))
        found[path] = PodMount(mount.get("readOnly") is True or fixed, _source(volume, mount))
    if pod.get("automountServiceAccountToken") is not False:
        # Admission adds it to the document, unless the account says no; what the account says is not known here.
        found.setdefault(TOKEN, PodMount(True))
    return found


def _source(volume: dict[str, t.Any], mount: dict[str, t.Any]) -> str:
    if "emptyDir" in volume:
        return EMPTY
    path = mapping(volume.get("hostPath")).get("path")
    if not isinstance(path, str) or mount.get("subPathExpr"):
        return ""
    return os.path.normpath(os.path.join(path, str(mount.get("subPath") or "")))


def _mounts(subject: Subject, node: Node, wanted: Wanted, context: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    made = MADE_BY_RUNTIME + (MADE_BY_CRIO if node.runtime.get("name") == "cri-o" else ())
    read_only_root = context.get("readOnlyRootFilesystem") is True
    found: list[dict[str, t.Any]] = []
    for mount in objects(subject.spec.get("mounts")):
        path, kind = str(mount.get("destination") or ""), str(mount.get("type") or "")
        if kind == "bind" and path not in made:
            continue
        options = [option for option in texts(mount.get("options")) if option not in ("ro", "rw")]
        fixed = path in KERNEL and context.get("privileged") is not True
        found.append(
            {
                "destination": path,
                "type": kind,
                "options": [*options, "ro" if fixed or (path in AS_THE_ROOT and read_only_root) else "rw"],
            }
        )
    other = renamed(subject.spec, subject.images)
    for path, kept in pod_mounts(wanted, subject.container).items():
        options = ["bind", "ro" if kept.read_only else "rw"]
        found.append({"destination": other.get(path, path), "type": "bind", "options": options, "source": kept.source})
    return found


def _hidden(subject: Subject, node: Node, context: dict[str, t.Any]) -> tuple[list[str], list[str]]:
    """Masked and read-only paths. The lists differ between versions, so that of a runtime of the same family is taken
    where the container was dumped with one."""
    if context.get("privileged") is True or context.get("procMount") == "Unmasked":
        return [], []
    linux = mapping(subject.spec.get("linux"))
    masked, fixed = texts(linux.get("maskedPaths")), texts(linux.get("readonlyPaths"))
    name = node.runtime.get("name")
    if masked and FAMILIES.get(subject.identity.engine or "") == name:
        return masked, fixed or list(READ_ONLY)
    return [*MASKED, *(MASKED_BY_CRIO if name == "cri-o" else ())], list(READ_ONLY)


def planned(subject: Subject, node: Node, wanted: Wanted) -> Planned:
    """The bundle of the container that the archive is for."""
    context = mapping(container_of(wanted.definition, subject.container).get("securityContext"))
    pod = mapping(mapping(wanted.definition.get("spec")).get("securityContext"))
    held = _capabilities(context, node)
    masked, fixed = _hidden(subject, node, context)
    process = mapping(subject.spec.get("process"))
    return Planned(
        {
            "process": {
                "user": _user(context, pod, mapping(process.get("user"))),
                "capabilities": {"bounding": held, "effective": held, "permitted": held},
                "noNewPrivileges": context.get("allowPrivilegeEscalation") is False,
            },
            "root": {"readonly": context.get("readOnlyRootFilesystem") is True},
            "linux": {
                "maskedPaths": masked,
                "readonlyPaths": fixed,
                **({"seccomp": {"defaultAction": "SCMP_ACT_ERRNO"}} if _seccomp(context, pod) else {}),
            },
            "mounts": _mounts(subject, node, wanted, context),
        }
    )
