# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server on loopback that answers as it is told to and remembers what it was asked, with real TLS where wanted."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import http.server
import ipaddress
import json
import pathlib
import socket
import ssl
import threading
import time
import typing as t
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclasses.dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    headers: t.Any
    began: float
    peer: dict[str, t.Any] | None = None
    body: t.Any = None


@dataclasses.dataclass(frozen=True)
class Say:
    """One answer. ``seconds`` is how long it takes."""

    status: int
    body: t.Any
    seconds: float = 0.0
    headers: t.Mapping[str, str] = dataclasses.field(default_factory=dict)


HANG_UP = Say(0, "")
Script = t.Callable[[Asked], Say]


class ScriptedServer:
    """Answers by ``script``; ``asked`` has the requests in their order."""

    def __init__(self, script: Script, address: str, context: ssl.SSLContext | None) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.under_way = 0
        self.most_at_once = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.answer(self)

            def do_POST(self) -> None:
                outer.answer(self)

            def do_PUT(self) -> None:
                outer.answer(self)

            def do_PATCH(self) -> None:
                outer.answer(self)

            def do_DELETE(self) -> None:
                outer.answer(self)

            def log_message(self, *_arguments: t.Any) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
            daemon_threads = True

            def handle_error(self, *_arguments: t.Any) -> None:
                """A client that does not like our certificate is no news."""

        self._server = Server((address, 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port: int = self._server.server_address[1]
        host = f"[{address}]" if ":" in address else address
        self.url = f"{'https' if context else 'http'}://{host}:{self.port}"

    def __enter__(self) -> ScriptedServer:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def posts(self) -> list[Asked]:
        """The requests that were not just reading."""
        return [asked for asked in self.asked if asked.method != "GET"]

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        parts = urllib.parse.urlsplit(handler.path)
        peer = handler.connection.getpeercert() if isinstance(handler.connection, ssl.SSLSocket) else None
        length = int(handler.headers.get("Content-Length") or 0)
        asked = Asked(
            handler.command,
            parts.path,
            dict(urllib.parse.parse_qsl(parts.query)),
            handler.headers,
            time.time(),
            peer,
            json.loads(handler.rfile.read(length)) if length else None,
        )
        with self._lock:
            self.asked.append(asked)
            self.under_way += 1
            self.most_at_once = max(self.most_at_once, self.under_way)
        said = self.script(asked)
        time.sleep(said.seconds)
        with self._lock:
            self.under_way -= 1
        if said is HANG_UP:
            handler.close_connection = True
            return
        body = (said.body if isinstance(said.body, str) else json.dumps(said.body)).encode()
        handler.send_response(said.status)
        for name, value in {**said.headers, "Content-Length": str(len(body))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)


@dataclasses.dataclass(frozen=True)
class Authority:
    """A CA in a folder, and what it signs."""

    folder: pathlib.Path
    name: str = "test CA"

    @property
    def ca_file(self) -> str:
        return self._pair(self.name)[0]

    def _pair(self, name: str) -> tuple[str, str]:
        stem = self.folder / f"{self.name}-{name}".replace(" ", "-")
        return f"{stem}.crt", f"{stem}.key"

    def sign(self, name: str, *addresses: str) -> tuple[str, str]:
        """Certificate and key files for ``name``, for the IP addresses given."""
        certificate, key = self._pair(name)
        if not pathlib.Path(certificate).exists():
            if name != self.name:
                self.sign(self.name)
            self._make(name, addresses)
        return certificate, key

    def _make(self, name: str, addresses: t.Sequence[str]) -> None:
        certificate_file, key_file = self._pair(name)
        own_key = ec.generate_private_key(ec.SECP256R1())
        issuer_key: t.Any = own_key
        if name != self.name:
            issuer_pem = pathlib.Path(self._pair(self.name)[1]).read_bytes()
            issuer_key = serialization.load_pem_private_key(issuer_pem, None)
        now = dt.datetime.now(dt.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(_named(self.name))
            .public_key(own_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=name == self.name, path_length=None), critical=True)
        )
        if addresses:
            names = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(issuer_key, hashes.SHA256())
        pathlib.Path(certificate_file).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pathlib.Path(key_file).write_bytes(
            own_key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])


@contextlib.contextmanager
def serving(
    script: Script, *, address: str = "127.0.0.1", authority: Authority | None = None, ask_for_client: bool = False
) -> t.Iterator[ScriptedServer]:
    """A running server; with ``authority`` over TLS, by a certificate for ``address``."""
    context = None
    if authority is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.sign("server", "127.0.0.1", "::1"))
        if ask_for_client:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(authority.ca_file)
    with ScriptedServer(script, address, context) as server:
        yield server


def archive(asked: Asked) -> Say:
    """What a kubelet says when all went well (kubernetes 1.36.2, pkg/kubelet/server/server.go)."""
    _empty, _checkpoint, namespace, pod, container = urllib.parse.unquote(asked.path).split("/")[-5:]
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(asked.began))
    return Say(200, {"items": [f"/var/lib/kubelet/checkpoints/checkpoint-{pod}_{namespace}-{container}-{when}.tar"]})


def pod_object(name: str, node: str = "n1", namespace: str = "shop", **containers: str) -> dict[str, t.Any]:
    """A pod whose containers are in the states given, ``app`` running where none are."""
    states = containers or {"app": "running"}
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{name}",
            "labels": {"app": name, "secret": "x"},
        },
        "spec": {"nodeName": node, "containers": [{"name": each, "image": f"image/{each}:1"} for each in states]},
        "status": {
            "hostIP": "127.0.0.1",
            "containerStatuses": [
                {
                    "name": each,
                    "state": {state: {"reason": "Completed"} if state == "terminated" else {}},
                    "containerID": f"cri-o://id-{name}-{each}",
                    "imageID": f"image/{each}@sha256:1",
                }
                for each, state in states.items()
            ],
        },
    }


def node_object(name: str, address: str = "127.0.0.1", **changes: t.Any) -> dict[str, t.Any]:
    """A node as an API server shows it."""
    status = {
        "addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": address}],
        "nodeInfo": {"containerRuntimeVersion": "cri-o://1.36.3", "kubeletVersion": "v1.36.2"},
        "conditions": [{"type": "Ready", "status": "True"}],
        **changes,
    }
    return {"metadata": {"name": name, "labels": {}}, "spec": {}, "status": status}


class Cluster:
    """A script: an API server with these pods and nodes, and the kubelets of all of them."""

    def __init__(self, pods: t.Sequence[dict[str, t.Any]], kubelet: Script = archive) -> None:
        self.pods = pods
        self.kubelet = kubelet
        self.nodes = {pod["spec"]["nodeName"]: node_object(pod["spec"]["nodeName"]) for pod in pods}

    def __call__(self, asked: Asked) -> Say:
        parts = asked.path.strip("/").split("/")
        if asked.method == "POST":
            return self.kubelet(asked)
        if parts[-1] == "pods":
            namespace = parts[3] if "namespaces" in parts else None
            node = dict(field.split("=") for field in asked.query.get("fieldSelector", "").split(",") if field)
            found = [
                pod
                for pod in self.pods
                if namespace in (None, pod["metadata"]["namespace"])
                and node.get("spec.nodeName") in (None, pod["spec"]["nodeName"])
            ]
            return Say(200, {"items": found, "metadata": {}})
        if "pods" in parts:
            named = [pod for pod in self.pods if pod["metadata"]["name"] == parts[-1]]
            return Say(200, named[0]) if named else status_object(404, f'pods "{parts[-1]}" not found')
        if parts[-1] == "nodes":
            return Say(200, {"items": list(self.nodes.values()), "metadata": {}})
        node = self.nodes.get(parts[-1])
        return Say(200, node) if node else status_object(404, f'nodes "{parts[-1]}" not found')


def status_object(status: int, message: str) -> Say:
    """An API server's refusal."""
    return Say(status, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": status})
