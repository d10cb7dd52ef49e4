# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write small OCI images into the lab's registry, without a tool for it.

An image is one layer with some files, a configuration and a manifest (OCI image specification 1.1); it goes to the
registry by the OCI distribution API 1.1. The same files always give the same digest.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import pathlib
import platform
import socket
import ssl
import tarfile
import typing as t
import urllib.parse

from .errors import LabError

PASSWD = "root:x:0:0::/:\napp:x:1001:1001::/:\n"
GROUP = "root:x:0:\napp:x:1001:\n"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"

TIMEOUT_S = 60.0


def push(
    registry: str,
    repository: str,
    tag: str,
    files: t.Mapping[str, pathlib.Path],
    *,
    entrypoint: t.Sequence[str],
    ca_file: pathlib.Path,
    address: str,
    auth: t.Optional[tuple[str, str]] = None,
    env: t.Optional[t.Mapping[str, str]] = None,
) -> str:
    """Make an image of ``files`` (absolute path in the image -> file here) and push it; returns its digest.

    ``registry`` is host and port as references name it; the connection goes to ``address`` all the same, because the
    machine itself doesn't know the lab's names. ``auth`` is user and password. What the registry has isn't sent again.
    Raises LabError where it refuses or doesn't answer.
    """
    layer = make_layer(files)
    settings = {"Entrypoint": list(entrypoint), "Env": [f"{k}={v}" for k, v in {"PATH": PATH, **(env or {})}.items()]}
    machine = platform.machine()
    config = _json(
        {
            "architecture": ARCHITECTURES.get(machine, machine),
            "os": "linux",
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(CONFIG, config),
            "layers": [_descriptor(LAYER, layer)],
        }
    )
    try:
        with _Registry(registry, ca_file, address, auth) as connection:
            connection.put_blob(repository, layer)
            connection.put_blob(repository, config)
            connection.put_manifest(repository, tag, manifest)
    except (OSError, http.client.HTTPException) as error:
        raise LabError(f"The registry {registry} at {address} can't take {repository}:{tag}: {error}") from error
    return _digest(manifest)


def make_layer(files: t.Mapping[str, pathlib.Path]) -> bytes:
    """A tar with the files (executable), the users root and app (1001) and a /tmp for everybody."""
    contents = {"/etc/passwd": (0o644, PASSWD.encode()), "/etc/group": (0o644, GROUP.encode())}
    contents.update({name: (0o755, path.read_bytes()) for name, path in files.items()})
    directories = {str(parent) for name in contents for parent in pathlib.PurePosixPath(name).parents} - {"/"}
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted({*directories, "/tmp"}):
            entry = tarfile.TarInfo(name.lstrip("/"))
            entry.type = tarfile.DIRTYPE
            entry.mode = 0o1777 if name == "/tmp" else 0o755
            tar.addfile(entry)
        for name, (mode, content) in sorted(contents.items()):
            entry = tarfile.TarInfo(name.lstrip("/"))
            entry.mode, entry.size = mode, len(content)
            tar.addfile(entry, io.BytesIO(content))
    return layer.getvalue()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _descriptor(media_type: str, content: bytes) -> dict[str, t.Any]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _json(document: t.Any) -> bytes:
    return json.dumps(document, sort_keys=True).encode()


class _Registry(http.client.HTTPSConnection):
    """One connection to a registry, by a given address instead of the one its name stands for."""

    def __init__(self, registry: str, ca_file: pathlib.Path, address: str, auth: t.Optional[tuple[str, str]]) -> None:
        self._context_of_ca = ssl.create_default_context(cafile=str(ca_file))
        super().__init__(registry, timeout=TIMEOUT_S, context=self._context_of_ca)
        self._address = address
        self._headers: dict[str, str] = {}
        if auth:
            self._headers["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()

    def __enter__(self) -> _Registry:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def connect(self) -> None:
        plain = socket.create_connection((self._address, self.port), self.timeout)
        # The certificate has to be for the name, whatever the address.
        self.sock = self._context_of_ca.wrap_socket(plain, server_hostname=self.host)

    def put_blob(self, repository: str, content: bytes) -> None:
        digest = _digest(content)
        if self._ask("HEAD", f"/v2/{repository}/blobs/{digest}", (200, 404))[0] == 200:
            return
        location = self._ask("POST", f"/v2/{repository}/blobs/uploads/", (202,))[1]
        target = urllib.parse.urlsplit(location)
        query = "&".join(filter(None, [target.query, urllib.parse.urlencode({"digest": digest})]))
        self._ask("PUT", f"{target.path}?{query}", (201,), content, "application/octet-stream")

    def put_manifest(self, repository: str, tag: str, manifest: bytes) -> None:
        self._ask("PUT", f"/v2/{repository}/manifests/{tag}", (201,), manifest, MANIFEST)

    def _ask(
        self, method: str, path: str, expected: t.Sequence[int], body: bytes = b"", media_type: str = ""
    ) -> tuple[int, str]:
        """Status and Location of the answer."""
        headers = {**self._headers, **({"Content-Type": media_type} if media_type else {})}
        self.request(method, path, body, headers)
        with self.getresponse() as response:
            said = response.read().decode(errors="replace").strip()
            if response.status not in expected:
                raise LabError(f"The registry answers {method} {path} with {response.status} {response.reason}: {said}")
            return response.status, response.getheader("Location") or ""
