# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd, API server, controller manager, scheduler and two registries, in the control plane's network namespace."""

from __future__ import annotations

import json
import pathlib
import secrets
import string
import subprocess

from . import topology
from .api import Api, wait_for
from .cgroups import Cgroup
from .errors import LabError
from .network import CONTROL_PLANE, Network
from .parts import Parts
from .pki import Pki
from .run import run

ETCD = "http://127.0.0.1:2379"
SALT_CHARACTERS = string.ascii_letters + string.digits + "./"

# What people and programs ask for is kept; the cluster's own heartbeat is not.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "resources": [{"group": "coordination.k8s.io"}, {"group": "", "resources": ["events"]}]},
        {"level": "None", "users": ["system:apiserver", "system:kube-scheduler", "system:kube-controller-manager"]},
        {"level": "None", "nonResourceURLs": ["/readyz*", "/livez*", "/healthz*"]},
        {"level": "Metadata"},
    ],
}


class ControlPlane:
    def __init__(self, state: pathlib.Path, parts: Parts, pki: Pki, network: Network) -> None:
        self.directory = state / "control-plane"
        self.parts = parts
        self.pki = pki
        self.network = network
        self.api = Api(pki)

    def log(self, name: str) -> pathlib.Path:
        return self.directory / f"{name}.log"

    @property
    def audit_log(self) -> pathlib.Path:
        return self.log("audit")

    @property
    def registry_login(self) -> dict[str, str]:
        """User and password of the private registry."""
        path = self.directory / "registry-login.json"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(json.dumps({"username": "lab", "password": secrets.token_urlsafe(12)}))
        return dict(json.loads(path.read_text()))

    def names(self) -> list[str]:
        return ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "registry", "private-registry"]

    def is_running(self, name: str) -> bool:
        return bool(Cgroup(name).pids())

    def start(self) -> None:
        """All daemons, up to the point where pods can be made."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._daemon("etcd", self._etcd())
        self._daemon("kube-apiserver", self._api_server())
        for name, port in (("registry", topology.REGISTRY_PORT), ("private-registry", topology.PRIVATE_REGISTRY_PORT)):
            self._daemon(name, [str(self.parts.infra / "docker-registry"), "serve", str(self._registry(name, port))])
        wait_for("the API server", lambda: self.api.ready() or self._gone("kube-apiserver"), 90)
        # Not earlier: they read a ConfigMap that the API server makes when it is ready.
        self._daemon("kube-controller-manager", self._controller_manager())
        self._daemon("kube-scheduler", self._scheduler())
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        wait_for(
            "the first service account", lambda: self.api.exists(account) or self._gone("kube-controller-manager"), 60
        )

    def stop(self) -> None:
        for name in reversed(self.names()):
            Cgroup(name).kill()

    def _gone(self, name: str) -> bool:
        """False while the daemon lives; the error with its last words when it ended."""
        if self.is_running(name):
            return False
        lines = self.log(name).read_text(errors="replace").strip().splitlines()
        raise LabError(f"{name} ended at once: {lines[-1] if lines else 'without a word'} ({self.log(name)})")

    def _daemon(self, name: str, command: list[str]) -> None:
        if self.is_running(name):
            return
        cgroup = Cgroup(name)
        cgroup.create()
        with open(self.log(name), "ab") as log:
            subprocess.Popen(
                cgroup.wrap([*self.network.enter(CONTROL_PLANE), *command]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
        wait_for(name, lambda: self.is_running(name), 5, 0.01)

    def _kubernetes(self, name: str, *options: str) -> list[str]:
        return [str(self.parts.kubernetes / name), *(f"--{option}" for option in options)]

    def _etcd(self) -> list[str]:
        data = self.directory / "etcd"
        data.mkdir(mode=0o700, exist_ok=True)
        options = ["--listen-peer-urls=http://127.0.0.1:2380", "--unsafe-no-fsync", "--log-level=warn"]
        return [str(self.parts.infra / "etcd"), f"--data-dir={data}", f"--listen-client-urls={ETCD}"] + [
            f"--advertise-client-urls={ETCD}",
            *options,
        ]

    def _api_server(self) -> list[str]:
        policy = self.directory / "audit-policy.json"
        policy.write_text(json.dumps(AUDIT_POLICY))
        path = self.pki.path
        return self._kubernetes(
            "kube-apiserver",
            f"etcd-servers={ETCD}",
            "secure-port=6443",
            f"bind-address={topology.CONTROL_PLANE}",
            f"advertise-address={topology.CONTROL_PLANE}",
            f"service-cluster-ip-range={topology.SERVICE_RANGE}",
            f"client-ca-file={path('ca.crt')}",
            f"tls-cert-file={path('apiserver.crt')}",
            f"tls-private-key-file={path('apiserver.key')}",
            f"service-account-key-file={path('service-account.pub')}",
            f"service-account-signing-key-file={path('service-account.key')}",
            "service-account-issuer=https://kubernetes.default.svc",
            "authorization-mode=Node,RBAC",
            "enable-admission-plugins=NodeRestriction",
            f"kubelet-certificate-authority={path('ca.crt')}",
            f"kubelet-client-certificate={path('apiserver-kubelet-client.crt')}",
            f"kubelet-client-key={path('apiserver-kubelet-client.key')}",
            "kubelet-preferred-address-types=InternalIP",
            "allow-privileged=true",
            f"audit-policy-file={policy}",
            f"audit-log-path={self.audit_log}",
        )

    def _controller_manager(self) -> list[str]:
        path = self.pki.path
        return self._kubernetes(
            "kube-controller-manager",
            *self._identity("controller-manager"),
            f"service-account-private-key-file={path('service-account.key')}",
            f"root-ca-file={path('ca.crt')}",
            f"cluster-signing-cert-file={path('ca.crt')}",
            f"cluster-signing-key-file={path('ca.key')}",
            "use-service-account-credentials",
            "kube-api-qps=300",
            "kube-api-burst=600",
            "node-monitor-grace-period=20s",
        )

    def _scheduler(self) -> list[str]:
        return self._kubernetes("kube-scheduler", *self._identity("scheduler"))

    def _identity(self, name: str) -> list[str]:
        kubeconfig = self.pki.path(f"{name}.kubeconfig")
        options = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
        return [*(f"{option}={kubeconfig}" for option in options), "leader-elect=false"]

    def _registry(self, name: str, port: int) -> pathlib.Path:
        """The configuration of one registry; only the private one asks who is there."""
        configuration = {
            "version": "0.1",
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(self.directory / name)}, "delete": {"enabled": True}},
            "http": {
                "addr": f"{topology.CONTROL_PLANE}:{port}",
                "tls": {"certificate": str(self.pki.path("registry.crt")), "key": str(self.pki.path("registry.key"))},
            },
        }
        if name == "private-registry":
            passwords = self.directory / "htpasswd"
            if not passwords.exists():
                login = self.registry_login
                passwords.write_text(f"{login['username']}:{_bcrypt(login['password'])}\n")
            configuration["auth"] = {"htpasswd": {"realm": "lab", "path": str(passwords)}}
        path = self.directory / f"{name}.json"
        path.write_text(json.dumps(configuration))
        return path


def _bcrypt(password: str) -> str:
    """The only hash that docker-registry takes. Perl's crypt knows it on every Debian; Python's has gone."""
    salt = "$2y$05$" + "".join(secrets.choice(SALT_CHARACTERS) for _position in range(22))
    return run(["perl", "-e", "print crypt($ARGV[0], $ARGV[1])", password, salt]).stdout.strip()
