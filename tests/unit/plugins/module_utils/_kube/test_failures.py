# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib
import re
import typing as t

import pytest
import yaml
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.failures import (
    CODES,
    failure,
    recognise,
)
from ansible_collections.checkpoint_restore.kubernetes.tests.unit.plugins.module_utils._kube import failure_guide

PLAYBOOKS = pathlib.Path(__file__).resolve().parents[5] / "playbooks"
ID = "5f0c1b9d3e7a48d2a6c94f10b8e2d7735f0c1b9d3e7a48d2a6c94f10b8e2d773"
NO_CRIU = 'exec: "criu": executable file not found in $PATH'


class Case(t.NamedTuple):
    """Who was asked, the answer's status, what is to be made of it, the text, and whether it is sent again."""

    asked: t.Literal["kubelet", "apiserver", "proxy"]
    status: int
    code: str
    text: str
    repeat: bool = False


def rpc(desc: str, code: str = "Unknown") -> str:
    """The kubelet's words around what the runtime says."""
    return f"checkpointing of a/b/c failed (rpc error: code = {code} desc = {desc})"


# Seen on the lab with Kubernetes 1.36.2, CRI-O 1.36.3 and containerd 2.1.9, except where a source is named.
TEXTS = [
    Case("kubelet", 401, "unauthorized", "Unauthorized"),
    Case("proxy", 401, "unauthorized", "Unauthorized"),
    Case("apiserver", 401, "unauthorized", "Unauthorized"),
    Case(
        "kubelet",
        403,
        "forbidden",
        "Forbidden (user=system:serviceaccount:a:b, verb=create, resource=nodes, subresource(s)=[checkpoint])",
    ),
    Case(
        "proxy",
        403,
        "forbidden",
        'nodes "crio-a" is forbidden: User "system:serviceaccount:a:b" cannot create resource "nodes/proxy" in API '
        'group "" at the cluster scope',
    ),
    # pkg/kubelet/server/server.go; the case is kubernetes/kubernetes issue 126232.
    Case(
        "proxy",
        403,
        "apiserver_kubelet_forbidden",
        "Forbidden (user=kube-apiserver-kubelet-client, verb=create, resource=nodes, subresource(s)=[checkpoint])",
    ),
    Case(
        "apiserver",
        403,
        "forbidden",
        'pods is forbidden: User "system:serviceaccount:a:b" cannot list resource "pods" in API group ""',
    ),
    # pkg/kubelet/server/server.go.
    Case(
        "kubelet",
        500,
        "authorizer_unreachable",
        "Authorization error (user=system:admin, verb=create, resource=nodes, subresource=checkpoint)",
        True,
    ),
    Case("kubelet", 404, "feature_gate_off", "404 page not found"),
    Case("proxy", 404, "feature_gate_off", "404 page not found"),
    # go-restful, as kubelets of 1.30 have it.
    Case("kubelet", 404, "feature_gate_off", "404: Page Not Found"),
    Case("kubelet", 404, "pod_not_found", "pod does not exist"),
    Case("kubelet", 404, "container_not_found", "container nope does not exist"),
    Case("proxy", 404, "node_not_found", 'nodes "nope" not found'),
    # pkg/kubelet/server/server.go; the module never gives cause for it.
    Case("kubelet", 404, "checkpoint_failed", "cannot parse value of timeout parameter"),
    Case("kubelet", 500, "container_not_running", "checkpointing of a/b/once failed (container once not found)"),
    # CRI-O 1.36.3, internal/lib/checkpoint.go and server/container_checkpoint.go.
    Case("kubelet", 500, "container_not_running", rpc(f"container {ID} is not running")),
    Case("kubelet", 500, "container_not_running", rpc(f'could not find container "{ID}": x', "NotFound")),
    # containerd 2.1.9, internal/cri/server/container_checkpoint_linux.go.
    Case(
        "kubelet",
        500,
        "container_not_running",
        rpc(f'container "{ID}" is in CONTAINER_EXITED state. only CONTAINER_RUNNING containers can be checkpointed'),
    ),
    Case("kubelet", 500, "criu_missing", rpc("checkpoint/restore support not available")),
    Case(
        "kubelet",
        500,
        "criu_missing",
        rpc(f"failed to checkpoint container {ID}: check for CRIU failed to check for criu version: {NO_CRIU}"),
    ),
    Case(
        "kubelet",
        500,
        "criu_missing",
        rpc(f'CRIU binary not found or too old (<31600). Failed to checkpoint container "{ID}": {NO_CRIU}'),
    ),
    # containerd 2.3.4, internal/cri/server/container_checkpoint_linux.go.
    Case("kubelet", 500, "criu_missing", rpc("criu binary not found in shim path or system PATH")),
    Case("kubelet", 500, "runtime_unsupported", rpc("criu support is disabled by configuration")),
    # kubernetes 1.36.2, test/e2e_node/checkpoint_container.go, about containerd before 2.0.
    Case(
        "kubelet",
        500,
        "runtime_unsupported",
        rpc("unknown method CheckpointContainer for service runtime.v1.RuntimeService", "Unimplemented"),
    ),
    Case("kubelet", 500, "runtime_unsupported", rpc("method CheckpointContainer not implemented", "Unimplemented")),
    # CRI-O 1.36.3, internal/oci/runtime_oci.go.
    Case("kubelet", 500, "runtime_unsupported", rpc("configured runtime does not support checkpoint/restore")),
    Case(
        "kubelet",
        500,
        "criu_failed",
        rpc(
            f'failed to checkpoint container {ID}: running "/usr/sbin/runc" ["checkpoint"] failed: level=error '
            'msg="criu failed: type NOTIFY errno 0\\nlog file: /var/lib/containers/x/dump.log": exit status 1'
        ),
    ),
    Case(
        "kubelet",
        500,
        "criu_failed",
        rpc(
            f'checkpointing container "{ID}" failed: runc did not terminate successfully: exit status 1: criu failed: '
            "type NOTIFY errno 0 path= /run/x/criu-dump.log"
        ),
    ),
    # crun, src/libcrun/criu.c.
    Case("kubelet", 500, "criu_failed", rpc("CRIU checkpointing failed -52.  Please check CRIU logfile /x/dump.log")),
    # kubernetes 1.36.2, test/e2e_node/checkpoint_container.go.
    Case(
        "kubelet",
        500,
        "concurrent_checkpoint",
        rpc("failed to pause container before checkpointing: cannot pause a paused container"),
        True,
    ),
    # checkpoint-restore-operator, pull request 114.
    Case(
        "kubelet",
        500,
        "concurrent_checkpoint",
        rpc("open /var/lib/containerd/x/ctrd-checkpoint/status: no such file or directory"),
    ),
    Case("kubelet", 500, "deadline_exceeded", rpc("context deadline exceeded", "DeadlineExceeded")),
    Case(
        "kubelet",
        500,
        "disk_full",
        rpc(
            f"failed to write file system changes of container {ID}: write /var/lib/kubelet/checkpoints/x.tar: no "
            "space left on device"
        ),
    ),
    Case("kubelet", 500, "runtime_unreachable", rpc("error reading from server: EOF", "Unavailable")),
    # gRPC's text for a socket that nobody listens at.
    Case(
        "kubelet",
        500,
        "runtime_unreachable",
        rpc('connection error: desc = "transport: Error while dialing: dial unix /run/x.sock: refused"', "Unavailable"),
    ),
    Case(
        "proxy",
        503,
        "kubelet_unreachable",
        "error trying to reach service: dial tcp 10.77.0.14:10250: connect: connection refused",
        True,
    ),
    # apimachinery 0.36.3, pkg/util/proxy/transport.go, with the texts of Go's TLS and HTTP.
    Case(
        "proxy",
        503,
        "certificate_untrusted",
        "error trying to reach service: tls: failed to verify certificate: x509: certificate signed by unknown CA",
    ),
    Case("proxy", 503, "connection_lost", "error trying to reach service: EOF"),
    Case("proxy", 504, "connection_lost", "<html>Gateway Time-out</html>"),
    # apiserver 0.36, priority and fairness.
    Case("proxy", 429, "throttled", "Too many requests, please try again later.", True),
    Case("apiserver", 500, "apiserver_failed", "etcdserver: request timed out"),
    Case("kubelet", 500, "checkpoint_failed", "checkpointing of a/b/c failed (something new)"),
    Case("kubelet", 418, "checkpoint_failed", ""),
]


@pytest.mark.parametrize("case", TEXTS, ids=lambda case: f"{case.asked}-{case.status}-{case.code}")
def test_texts(case: Case) -> None:
    error = recognise(case.asked, status=case.status, text=case.text)
    assert (error.code, error.repeat) == (case.code, case.repeat)
    assert error.message == case.text
    assert error.details["http_status"] == case.status
    assert error.hint and error.reason


@pytest.mark.parametrize(
    ("asked", "kind", "code", "repeat"),
    [
        ("kubelet", "refused", "kubelet_unreachable", True),
        ("kubelet", "tls", "kubelet_unreachable", False),
        ("kubelet", "certificate", "certificate_untrusted", False),
        ("kubelet", "silent", "deadline_exceeded", False),
        ("kubelet", "lost", "connection_lost", False),
        ("proxy", "refused", "apiserver_unreachable", True),
        ("proxy", "certificate", "apiserver_certificate_untrusted", False),
        ("proxy", "silent", "deadline_exceeded", False),
        ("proxy", "lost", "connection_lost", False),
        ("apiserver", "refused", "apiserver_unreachable", True),
        ("apiserver", "lost", "apiserver_unreachable", False),
        ("apiserver", "silent", "apiserver_unreachable", False),
    ],
)
def test_connections(asked: str, kind: str, code: str, repeat: bool) -> None:
    error = recognise(asked, transport=kind, text="x")
    assert (error.code, error.repeat, error.details["http_status"]) == (code, repeat, None)


def test_the_phase_is_select_for_the_api_server() -> None:
    assert recognise("apiserver", status=401).details["phase"] == "select"
    assert recognise("kubelet", status=401).details["phase"] == "authorize"


def test_a_certificate_that_does_not_verify_names_the_three_ways_out() -> None:
    hint = recognise("kubelet", transport="certificate").hint
    assert all(way in hint for way in ("kubelet_ca_cert", "via: apiserver", "kubelet_validate_certs: false"))


def test_every_code_of_the_documentation_is_unique_and_complete() -> None:
    names = [code.name for code in CODES]
    assert len(set(names)) == len(names)
    for code in CODES:
        assert re.fullmatch(r"[a-z_]+", code.name)
        assert code.phase in ("configure", "select", "connect", "authorize", "checkpoint", "schedule")
        assert not code.reason.endswith(".") and not code.hint.endswith(".")
        for sign in code.signs:
            assert sign.seen
            assert (sign.status is None) != (sign.transport == "")
            re.compile(sign.pattern)


def test_every_sign_with_a_text_is_tried_here() -> None:
    for code in CODES:
        for sign in code.signs:
            if sign.pattern:
                texts = [case.text for case in TEXTS if case.status == sign.status and case.code == code.name]
                assert any(re.search(sign.pattern, text, re.IGNORECASE) for text in texts), (code.name, sign.pattern)


def test_a_reason_of_its_own_wins_over_the_table() -> None:
    error = failure("invalid_option", reason="That is not it", message="m")
    assert (error.reason, error.message, error.details["phase"]) == ("That is not it", "m", "configure")
    assert str(error).startswith("That is not it. ")


def test_the_guide_is_what_the_table_says() -> None:
    assert failure_guide.GUIDE.read_text(encoding="utf-8") == failure_guide.render(), (
        "The table has changed: run tests/unit/plugins/module_utils/_kube/failure_guide.py"
    )


def test_the_playbooks_look_after_codes_of_the_table() -> None:
    (task,) = yaml.safe_load((PLAYBOOKS / "tasks" / "failed_nodes.yml").read_text(encoding="utf-8"))
    named = set(task["vars"]["failed_nodes_codes"])
    known = {code.name for code in CODES if code.phase in ("connect", "checkpoint")}
    assert named and named <= known
