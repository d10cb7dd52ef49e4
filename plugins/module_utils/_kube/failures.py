# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every failure code: what it means, what to do, and by which answer it is recognised.

``CODES`` is the only place that knows them; ``docs/docsite/rst/guide_failure_codes.rst`` is written from it, and a unit
test keeps the two equal. Each sign says in ``seen`` where its text was seen: run on a lab, or read in a source file.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import typing as t

from .._common.durations import parse_duration
from .._common.errors import CheckpointError

KUBELET_SERVER = "kubernetes 1.36.2, pkg/kubelet/server/server.go"
APISERVER_PROXY = "apimachinery 0.36.3, pkg/util/proxy/transport.go"
CRIO_CHECKPOINT = "CRI-O 1.36.3, internal/lib/checkpoint.go"
CRIO_OCI = "CRI-O 1.36.3, internal/oci/runtime_oci.go"
CONTAINERD_CHECKPOINT = "containerd 2.1.9, internal/cri/server/container_checkpoint_linux.go"
CONTAINERD_NEWER = "containerd 2.2.7 and 2.3.4, internal/cri/server/container_checkpoint_linux.go"
CONNECTION = "the state of the connection"

PERHAPS_FROZEN = "; the container may have been left frozen"
"""The end of a reason that says so without having looked."""

Party = t.Literal["kubelet", "apiserver", "proxy"]


@dataclasses.dataclass(frozen=True)
class Sign:
    """One way to recognise a code.

    ``at``: who says it: the kubelet, the API server (asked for pods and nodes, or by its own authority when it passes
    a request on), or ``proxy``: the API server about the kubelet behind it. ``transport`` is the kind of a
    ``TransportError`` instead of an answer. ``repeat``: the request certainly did nothing and may be sent again.
    """

    at: Party
    seen: str
    status: int | None = None
    pattern: str = ""
    transport: str = ""
    repeat: bool = False
    reason: str = ""
    hint: str = ""


@dataclasses.dataclass(frozen=True)
class Code:
    """A failure as a person reads it. ``retryable``: running the same again later may well work."""

    name: str
    phase: str
    reason: str
    hint: str
    retryable: bool = False
    signs: tuple[Sign, ...] = ()


class KubeError(CheckpointError):
    """A :class:`CheckpointError` out of the table. ``repeat`` as in :class:`Sign`; ``retry_after`` in seconds."""

    repeat: bool = False
    retry_after: float | None = None


# The first sign that fits decides, so what is special stands above what is general.
CODES: tuple[Code, ...] = (
    Code(
        "unauthorized",
        "authorize",
        "The credentials were not accepted",
        "Check the token or client certificate and that it has not expired; a kubelet accepts tokens only while its "
        "webhook authentication is on, and another client certificate than the API server's can be given with "
        "kubelet_client_cert",
        signs=(
            Sign("kubelet", "lab, kubelet 1.36.2 without a token", status=401),
            Sign("apiserver", "lab, API server 1.36.2 with a wrong token", status=401),
        ),
    ),
    Code(
        "apiserver_kubelet_forbidden",
        "authorize",
        "The API server may not ask this kubelet for a checkpoint",
        "Give the API server's own kubelet client the right to create nodes/checkpoint (system:kubelet-api-admin lacks "
        "it), or use via: kubelet",
        signs=(Sign("proxy", KUBELET_SERVER, status=403, pattern=r"Forbidden \(user="),),
    ),
    Code(
        "forbidden",
        "authorize",
        "The account lacks a right",
        "It needs create on nodes/checkpoint (playbooks/files/rbac/checkpoint-direct.yml); a new grant can take half a "
        "minute to reach a kubelet",
        signs=(
            Sign(
                "proxy",
                "lab, API server 1.36.2",
                status=403,
                hint="It needs create on nodes/proxy (playbooks/files/rbac/checkpoint-apiserver.yml)",
            ),
            Sign(
                "apiserver",
                "lab, API server 1.36.2",
                status=403,
                hint="Selecting needs get and list on pods and get on nodes (playbooks/files/rbac/select-targets.yml)",
            ),
            Sign("kubelet", "lab, kubelet 1.36.2", status=403),
        ),
    ),
    Code(
        "authorizer_unreachable",
        "authorize",
        "The kubelet could not ask the API server whether this is allowed",
        "Check the node's way to the API server",
        retryable=True,
        signs=(Sign("kubelet", KUBELET_SERVER, status=500, pattern=r"^Authorization error \(", repeat=True),),
    ),
    Code(
        "throttled",
        "connect",
        "The API server has too much to do and put the request off",
        "Try again later, or with a smaller max_concurrent",
        retryable=True,
        signs=(Sign("apiserver", "apiserver 0.36, priority and fairness: Retry-After", status=429, repeat=True),),
    ),
    Code(
        "feature_gate_off",
        "authorize",
        "This kubelet offers no checkpoints",
        "Turn on the feature gate ContainerCheckpoint (Kubernetes 1.25 to 1.29 have it off, later ones on)",
        signs=(Sign("kubelet", "lab, kubelet 1.36.2 with the gate off", status=404, pattern=r"404:? page not found"),),
    ),
    Code(
        "node_not_found",
        "select",
        "There is no such node in the cluster",
        "Look at the names with: kubectl get nodes",
        signs=(Sign("apiserver", "lab, API server 1.36.2", status=404, pattern=r'nodes "[^"]*" not found'),),
    ),
    Code(
        "node_address_unknown",
        "select",
        "The node reports no address",
        "Use via: apiserver, or give the address as node in targets",
    ),
    Code(
        "node_not_ready",
        "connect",
        "The node is not Ready",
        "Look at the kubelet's log on the node, and at: kubectl describe node",
        retryable=True,
    ),
    Code(
        "probe_pod_not_running",
        "select",
        "The pod that was to be checkpointed for a trial does not run",
        "Name an image that the node can pull and that does not end by itself, and a namespace that allows the pod",
    ),
    Code(
        "pod_not_found",
        "select",
        "There is no such pod there",
        "Check the namespace and the name; the pod may have ended or moved since",
        signs=(Sign("kubelet", KUBELET_SERVER, status=404, pattern=r"pod does not exist"),),
    ),
    Code(
        "container_not_found",
        "select",
        "The pod has no such container",
        "Look at the names in the pod's spec; init and ephemeral containers count as well",
        signs=(Sign("kubelet", KUBELET_SERVER, status=404, pattern=r"container \S+ does not exist"),),
    ),
    Code(
        "deadline_exceeded",
        "checkpoint",
        f"The checkpoint took longer than the kubelet allows{PERHAPS_FROZEN}",
        "Run checkpoint_guard with thaw: true on the node, which lets it run again; then give a larger timeout",
        signs=(
            Sign(
                "kubelet",
                "lab, containerd 2.1.9",
                status=500,
                pattern=r"DeadlineExceeded|context deadline exceeded",
            ),
            Sign(
                "kubelet",
                CONNECTION,
                transport="silent",
                reason=f"No answer came within the time that the kubelet has{PERHAPS_FROZEN}",
            ),
        ),
    ),
    Code(
        "disk_full",
        "checkpoint",
        "There is no room for the checkpoint on the node",
        "Remove the incomplete archive that message names, and free space under the kubelet's and the runtime's "
        "directories; a checkpoint needs two to three times the container's memory for a while",
        signs=(
            Sign(
                "kubelet",
                "lab, CRI-O 1.36.3 and containerd 2.1.9; EDQUOT as Go prints it",
                status=500,
                pattern=r"no space left on device|disk quota exceeded",
            ),
        ),
    ),
    Code(
        "concurrent_checkpoint",
        "checkpoint",
        "Another checkpoint of this container is under way",
        "Let one job at a time checkpoint a container",
        retryable=True,
        signs=(
            Sign(
                "kubelet",
                "e2e_node/checkpoint_container.go of kubernetes 1.36.2, CRI-O",
                status=500,
                pattern=r"cannot pause a paused container",
                repeat=True,
            ),
            Sign(
                "kubelet",
                "checkpoint-restore-operator pull request 114, containerd",
                status=500,
                pattern=r"ctrd-checkpoint\S*: (no such file or directory|file exists)",
            ),
        ),
    ),
    Code(
        "criu_missing",
        "checkpoint",
        "The container runtime finds no CRIU on the node, or one that is too old",
        "Install CRIU 4.2 or later on the node and restart the runtime; with CRI-O also check enable_criu_support",
        signs=(
            Sign(
                "kubelet",
                "lab, CRI-O 1.36.3 started without CRIU",
                status=500,
                pattern=r"checkpoint/restore support not available",
            ),
            Sign("kubelet", "lab, CRI-O 1.36.3 that lost its CRIU", status=500, pattern=r"check for CRIU"),
            Sign(
                "kubelet",
                "lab, containerd 2.1.9 without CRIU",
                status=500,
                pattern=r"CRIU binary not found or too old",
            ),
            Sign(
                "kubelet",
                CONTAINERD_NEWER,
                status=500,
                pattern=r"criu binary not found|checkpoint/restore requires at least CRIU",
            ),
        ),
    ),
    Code(
        "runtime_unsupported",
        "checkpoint",
        "The container runtime of the node does not checkpoint",
        "Needed are CRI-O 1.25 or later, or containerd 2.0 or later with enable_criu, and runc or crun below it",
        signs=(
            Sign(
                "kubelet",
                "e2e_node/checkpoint_container.go of kubernetes 1.36.2, containerd before 2.0",
                status=500,
                pattern=r"unknown method CheckpointContainer|method CheckpointContainer not implemented",
            ),
            Sign(
                "kubelet",
                CRIO_OCI,
                status=500,
                pattern=r"configured runtime does not support checkpoint/restore",
            ),
            Sign("kubelet", CONTAINERD_NEWER, status=500, pattern=r"criu support is disabled by configuration"),
        ),
    ),
    Code(
        "container_not_running",
        "checkpoint",
        "The container is not running",
        "Only a running container can be checkpointed; look at its state with: kubectl describe pod",
        signs=(
            Sign(
                "kubelet",
                "lab, kubelet 1.36.2",
                status=500,
                pattern=r"failed \(container \S+ not found\)",
            ),
            Sign("kubelet", CRIO_CHECKPOINT, status=500, pattern=r"container \S+ is not running"),
            Sign(
                "kubelet",
                "CRI-O 1.36.3, server/container_checkpoint.go",
                status=500,
                pattern=r"could not find container",
            ),
            Sign(
                "kubelet",
                CONTAINERD_CHECKPOINT,
                status=500,
                pattern=r"is in CONTAINER_\w+ state|an error occurred when trying to find container",
            ),
        ),
    ),
    Code(
        "criu_failed",
        "checkpoint",
        "CRIU could not dump the container",
        "Run checkpoint_diagnose on the node: the cause stands only in CRIU's log there (containerd: criu-dump.log in "
        "the container's bundle; CRI-O: dump.log in the container's userdata). Often it is an established TCP "
        "connection: tcp-close or tcp-established in /etc/criu/runc.conf or crun.conf allows it",
        signs=(
            Sign(
                "kubelet", "lab, runc under CRI-O 1.36.3 and containerd 2.1.9", status=500, pattern=r"criu failed: type"
            ),
            Sign(
                "kubelet",
                "crun, src/libcrun/criu.c",
                status=500,
                pattern=r"CRIU checkpointing failed",
            ),
        ),
    ),
    Code(
        "runtime_unreachable",
        "checkpoint",
        "The kubelet cannot reach the container runtime",
        "Check the runtime's service on the node",
        retryable=True,
        signs=(
            Sign(
                "kubelet",
                "lab, containerd 2.1.9 restarted during a checkpoint",
                status=500,
                pattern=r"code = Unavailable desc = error reading from server",
                reason=f"The container runtime went away during the checkpoint{PERHAPS_FROZEN}",
                hint="Look at the container's state and its restarts before trying again",
            ),
            Sign("kubelet", "gRPC, no connection", status=500, pattern=r"code = Unavailable|dial unix"),
        ),
    ),
    Code(
        "certificate_untrusted",
        "connect",
        "The kubelet's certificate does not verify",
        "There are three ways out: give the CA that signed it with kubelet_ca_cert, go through the API server with "
        "via: apiserver, or, where the network is trusted, turn the check off with kubelet_validate_certs: false",
        signs=(
            Sign("kubelet", CONNECTION, transport="certificate"),
            Sign(
                "proxy",
                APISERVER_PROXY,
                status=503,
                pattern=r"error trying to reach service: .*x509:",
                reason="The API server does not trust the kubelet's certificate",
                hint="Check the API server's --kubelet-certificate-authority, or use via: kubelet with kubelet_ca_cert",
            ),
        ),
    ),
    Code(
        "kubelet_unreachable",
        "connect",
        "No connection to the kubelet",
        "Check that the node is up and that its kubelet port can be reached from here; with via: apiserver only the "
        "API server has to be reached",
        retryable=True,
        signs=(
            Sign("kubelet", CONNECTION, transport="refused", repeat=True),
            Sign(
                "kubelet",
                CONNECTION,
                transport="tls",
                reason="No TLS connection to the kubelet",
                hint="Check that kubelet_port is the kubelet's own port, and the client certificate if there is one",
            ),
            Sign(
                "proxy",
                "lab, API server 1.36.2 and a stopped kubelet",
                status=503,
                pattern=r"error trying to reach service: dial tcp",
                repeat=True,
                reason="The API server has no connection to the kubelet",
                hint="Check that the node is up and that the API server can reach it",
            ),
        ),
    ),
    Code(
        "connection_lost",
        "checkpoint",
        "The connection broke before the answer; whether there is a checkpoint now is not known",
        "Look into the kubelet's checkpoints directory on the node and at the container's state before trying again",
        signs=(
            Sign("kubelet", CONNECTION, transport="lost"),
            Sign("proxy", APISERVER_PROXY, status=503, pattern=r"error trying to reach service:"),
            Sign("proxy", "a load balancer in front of the API server", status=502),
            Sign("proxy", "a load balancer in front of the API server", status=503),
            Sign("proxy", "a load balancer in front of the API server", status=504),
        ),
    ),
    Code(
        "not_started",
        "schedule",
        "Its turn did not come before the deadline or the interruption",
        "Give a later deadline, or a larger max_concurrent or max_concurrent_per_node",
        retryable=True,
    ),
    Code(
        "checkpoint_failed",
        "checkpoint",
        "The kubelet or the container runtime could not checkpoint the container",
        "Read the original message, and the log of the runtime on the node",
    ),
    Code(
        "internal_error",
        "checkpoint",
        "This collection made a mistake",
        "Report it with the original message; whether there is a checkpoint now is not known",
    ),
    Code(
        "no_match",
        "select",
        "The selection matches no running container",
        "Check namespace, names and selectors; allow_empty: true accepts an empty selection",
    ),
    Code(
        "apiserver_certificate_untrusted",
        "select",
        "The API server's certificate does not verify",
        "Give the CA that signed it with ca_cert, or, where the network is trusted, use validate_certs: false",
        signs=(Sign("apiserver", CONNECTION, transport="certificate"),),
    ),
    Code(
        "apiserver_unreachable",
        "select",
        "No connection to the API server",
        "Check host or kubeconfig, the proxy settings and the network",
        retryable=True,
        signs=(
            Sign("apiserver", CONNECTION, transport="refused", repeat=True),
            Sign("apiserver", CONNECTION, transport="tls", reason="No TLS connection to the API server"),
            Sign("apiserver", CONNECTION, transport="silent", reason="The API server does not answer"),
            Sign("apiserver", CONNECTION, transport="lost", reason="The connection to the API server broke"),
        ),
    ),
    Code(
        "apiserver_failed",
        "select",
        "The API server could not answer",
        "Read the original message",
        retryable=True,
    ),
    Code(
        "object_not_ours",
        "select",
        "There is an object of that name that this collection did not make",
        "Choose another name, or remove what is there by hand; only what has the label "
        "app.kubernetes.io/managed-by: checkpoint_restore.kubernetes, or a kubeconfig written here, is touched",
    ),
    Code(
        "kubeconfig_unusable",
        "configure",
        "The kubeconfig cannot be used",
        "Check kubeconfig and context; kubectl config view shows what kubectl makes of it",
    ),
    Code(
        "credentials_unusable",
        "configure",
        "A certificate, key or CA file cannot be used",
        "Check that the path is right on the host where the module runs, and that the file is PEM",
    ),
    Code(
        "invalid_option",
        "configure",
        "An option has a value that cannot be used",
        "See the option's documentation",
    ),
    Code(
        "library_missing",
        "configure",
        "A Python library is missing",
        "Install it for the Python interpreter that runs the module: pip install kubernetes",
    ),
)
_BY_NAME = {code.name: code for code in CODES}


def failure(
    name: str,
    *,
    reason: str = "",
    hint: str = "",
    message: str = "",
    http_status: int | None = None,
    phase: str = "",
    repeat: bool = False,
) -> KubeError:
    """A failure of the table, optionally with a more exact reason or hint than the table's."""
    code = _BY_NAME[name]
    made = KubeError(
        code.name,
        reason or code.reason,
        hint=hint or code.hint,
        message=message,
        phase=phase or code.phase,
        retryable=code.retryable,
        http_status=http_status,
    )
    made.repeat = repeat
    return made


def duration(options: t.Mapping[str, t.Any], option: str) -> float:
    """The seconds that an option means, see parse_duration(). Raises ``invalid_option`` of the table."""
    try:
        return parse_duration(options[option], option)
    except CheckpointError as error:
        raise failure("invalid_option", reason=error.reason, hint=error.hint) from error


def recognise(asked: Party, *, status: int | None = None, text: str = "", transport: str = "") -> KubeError:
    """What an answer (``status``, ``text``) or the lack of one (``transport``) means.

    ``asked``: ``kubelet`` for a request straight to a kubelet, ``proxy`` for one through the API server, ``apiserver``
    for pods and nodes. An answer through the API server may be the kubelet's, the API server's own, or the API
    server's about the kubelet. A connection is always to the API server then, but one that broke after the request had
    been sent is as grave as if it had been the kubelet's.
    """
    parties: tuple[Party, ...] = (asked,)
    if asked == "proxy" and transport:
        parties = ("kubelet",) if transport in ("lost", "silent") else ("apiserver",)
    elif asked == "proxy":
        parties = ("proxy", "apiserver", "kubelet")
    for code in CODES:
        for sign in code.signs:
            if sign.at not in parties or sign.status != status or sign.transport != transport:
                continue
            if re.search(sign.pattern, text, re.IGNORECASE | re.DOTALL):
                phase = "select" if asked == "apiserver" else "connect" if transport == "refused" else code.phase
                return failure(
                    code.name,
                    reason=sign.reason,
                    hint=sign.hint,
                    message=text,
                    http_status=status,
                    phase=phase,
                    repeat=sign.repeat,
                )
    rest = "apiserver_failed" if asked == "apiserver" else "checkpoint_failed"
    return failure(rest, message=text, http_status=status)


@contextlib.contextmanager
def needing(rights: str) -> t.Iterator[None]:
    """Have what is forbidden say which rights it takes."""
    try:
        yield
    except KubeError as error:
        if error.code == "forbidden":
            error.hint = rights
        raise
