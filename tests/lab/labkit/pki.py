# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster's certificates and what is made of them: one CA for API server, kubelets and registry."""

from __future__ import annotations

import base64
import json
import pathlib
import typing as t

from . import topology
from .run import run


class Pki:
    """Keys and certificates in one directory, made when asked for and kept until the laboratory goes down."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory

    def path(self, name: str) -> pathlib.Path:
        return self.directory / name

    def create(self, nodes: tuple[topology.Node, ...]) -> None:
        """Everything the cluster needs; nothing is made twice."""
        if self.path("complete").exists():
            return
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._authority("ca")
        # A CA that signed nothing here: for trying what happens when the wrong one is trusted.
        self._authority("other-ca")
        names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        self.certificate(
            "apiserver", "/CN=kube-apiserver", names, ["127.0.0.1", topology.SERVICE_IP, topology.CONTROL_PLANE]
        )
        self.certificate(
            "registry", f"/CN={topology.REGISTRY_HOST}", [topology.REGISTRY_HOST], [topology.CONTROL_PLANE]
        )
        self.certificate("apiserver-kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client")
        self.client("admin", "/O=system:masters/CN=admin")
        self.client("controller-manager", "/CN=system:kube-controller-manager")
        self.client("scheduler", "/CN=system:kube-scheduler")
        for node in nodes:
            addresses = [node.address, node.address6, "127.0.0.1"]
            self.certificate(node.name, f"/O=system:nodes/CN=system:node:{node.name}", [node.name], addresses)
            self.kubeconfig(node.name)
        run(["openssl", "genrsa", "-out", str(self.path("service-account.key")), "2048"])
        run(
            [
                "openssl",
                "rsa",
                "-in",
                str(self.path("service-account.key")),
                "-pubout",
                "-out",
                str(self.path("service-account.pub")),
            ]
        )
        for name in ("ssh_key", "ssh_host_key"):
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"lab {name}", "-f", str(self.path(name))])
        self.path("complete").touch()

    def certificate(self, name: str, subject: str, dns: t.Sequence[str] = (), addresses: t.Sequence[str] = ()) -> None:
        """``name.key`` and ``name.crt``, for servers and clients alike, signed by the cluster's CA."""
        key, request, extensions = self.path(f"{name}.key"), self.path(f"{name}.csr"), self.path(f"{name}.ext")
        alternatives = [f"DNS:{d}" for d in dns or [name]] + [f"IP:{a}" for a in addresses]
        extensions.write_text(f"subjectAltName={','.join(alternatives)}\nextendedKeyUsage=serverAuth,clientAuth\n")
        run(
            ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
            + ["-keyout", str(key), "-out", str(request), "-subj", subject]
        )
        run(
            [
                "openssl",
                "x509",
                "-req",
                "-in",
                str(request),
                "-CA",
                str(self.path("ca.crt")),
                "-CAkey",
                str(self.path("ca.key")),
            ]
            + ["-CAcreateserial", "-out", str(self.path(f"{name}.crt")), "-days", "3650", "-extfile", str(extensions)]
        )
        request.unlink()
        extensions.unlink()

    def client(self, name: str, subject: str) -> None:
        self.certificate(name, subject)
        self.kubeconfig(name)

    def kubeconfig(self, name: str) -> None:
        """``name.kubeconfig``, complete in itself. JSON is YAML."""
        encoded = {
            part: base64.b64encode(self.path(part).read_bytes()).decode()
            for part in ("ca.crt", f"{name}.crt", f"{name}.key")
        }
        cluster = {"server": topology.API_SERVER, "certificate-authority-data": encoded["ca.crt"]}
        user = {"client-certificate-data": encoded[f"{name}.crt"], "client-key-data": encoded[f"{name}.key"]}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": name}}],
            "current-context": "lab",
        }
        path = self.path(f"{name}.kubeconfig")
        path.write_text(json.dumps(document, indent=1) + "\n")
        path.chmod(0o600)

    def _authority(self, name: str) -> None:
        run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "3650",
            ]
            + [
                "-keyout",
                str(self.path(f"{name}.key")),
                "-out",
                str(self.path(f"{name}.crt")),
                "-subj",
                f"/CN=lab-{name}",
            ]
            + [
                "-addext",
                "basicConstraints=critical,CA:TRUE",
                "-addext",
                "keyUsage=critical,keyCertSign,cRLSign,digitalSignature",
            ]
        )
