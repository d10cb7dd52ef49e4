# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP to an API server or a kubelet: one request, one answer, and what exactly went wrong when there is none.

Built on urllib3, which the ``kubernetes`` library brings along, and not on ``requests``: the latter lets ``.netrc`` and
``REQUESTS_CA_BUNDLE`` override the token and the CA that were asked for, and hides whether a request was sent at all.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import ssl
import time
import typing as t

from .failures import failure

try:
    import urllib3
    import urllib3.exceptions
except ImportError as error:
    URLLIB3_ERROR: ImportError | None = error
else:
    URLLIB3_ERROR = None

CONNECT_TIMEOUT = 10.0
# A kubelet's answer is one line. Lists come in pages; one page of 500 large pods stays far below this.
LONGEST_BODY = 256 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Server:
    """How to reach and trust a server, and who we are to it. ``authorization`` gives the header's current value."""

    url: str = ""
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    verify: bool = True
    server_name: str | None = None
    proxy: str | None = None
    no_proxy: str | None = None
    proxy_headers: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()
    authorization: t.Callable[[], str | None] = lambda: None


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a server said. ``text`` is the body, of a Kubernetes ``Status`` object its ``message`` alone."""

    status: int
    body: str
    retry_after: float | None = None

    @property
    def text(self) -> str:
        """The sentence for a person in the body."""
        parsed = self.json()
        if isinstance(parsed, dict) and parsed.get("kind") == "Status" and parsed.get("message"):
            return str(parsed["message"])
        return self.body.strip()

    def json(self) -> t.Any:
        """The body as JSON, ``None`` when it is something else."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class TransportError(Exception):
    """There is no answer. ``kind`` says how far the request came:

    ``refused``: no connection (refused, no route, no such host, connect time-out, proxy): nothing was sent.
    ``certificate``: the server's certificate was not accepted; ``tls``: no TLS with it otherwise: nothing was sent.
    ``silent``: sent, and no answer within the read time-out.
    ``lost``: the connection broke after the request was, or may have been, sent.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def _transport_error(error: Exception, waited: bool) -> TransportError:
    """urllib3's exceptions by what they mean for the request (urllib3 2.8.0, urllib3/connectionpool.py).

    ``waited``: the whole read time-out has gone by. A "read" that timed out before that was the TLS handshake's if it
    ran under the time-out for connecting. Otherwise it was the kernel that gave the other side up: its error ETIMEDOUT
    is a time-out to Python as well (seen with a link that was cut: after 92 s).
    """
    cause: t.Any = getattr(error, "reason", None) if isinstance(error, urllib3.exceptions.MaxRetryError) else error
    text = str(cause)
    if isinstance(cause, urllib3.exceptions.ProxyError) or "Tunnel connection failed" in text:
        return TransportError("refused", text)
    if isinstance(cause, urllib3.exceptions.SSLError):
        untrusted = any(isinstance(part, ssl.SSLCertVerificationError) for part in (*cause.args, cause.__cause__))
        return TransportError("certificate" if untrusted or "certificate verify failed" in text else "tls", text)
    # NewConnectionError is a subclass of ConnectTimeoutError in urllib3 1.26 and of HTTPError in 2.x.
    if isinstance(cause, (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)):
        return TransportError("refused", text)
    if isinstance(cause, urllib3.exceptions.ReadTimeoutError):
        if f"(read timeout={CONNECT_TIMEOUT})" in text:
            return TransportError("refused", text)
        if waited:
            return TransportError("silent", text)
        return TransportError("lost", "Connection timed out: there was no sign of life from the other side any more")
    return TransportError("lost", text)


def _tls_context(server: Server) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=server.ca_file)
    # Cluster CAs are often older than the strictness that Python 3.13 turned on (no key identifiers). Kubernetes'
    # own clients do not ask for it either.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not server.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if server.cert_file:
        context.load_cert_chain(server.cert_file, server.key_file)
    return context


def _keepalive() -> list[tuple[int, int, int]]:
    """A node that is cut off in the middle of a checkpoint sends nothing any more: found out in about 90 seconds."""
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6)):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


class HttpClient:
    """Requests to servers that are trusted in one way; usable from several threads at once."""

    def __init__(self, server: Server) -> None:
        if URLLIB3_ERROR is not None:
            raise failure("library_missing", reason="The Python library urllib3 is missing", message=str(URLLIB3_ERROR))
        self.server = server
        try:
            context = _tls_context(server)
        except (OSError, ssl.SSLError) as error:
            files = ", ".join(str(name) for name in (server.ca_file, server.cert_file, server.key_file) if name)
            raise failure(
                "credentials_unusable",
                reason=f"The certificates or the key cannot be used: {files}",
                message=str(error),
            ) from error
        self._settings: dict[str, t.Any] = {
            "ssl_context": context,
            "cert_reqs": context.verify_mode,
            "assert_hostname": None if server.verify else False,
            "socket_options": _keepalive(),
        }
        if server.server_name:
            self._settings["server_hostname"] = server.server_name
        self._bypasses = _kubernetes_rule_for_no_proxy() if server.proxy else None
        self._kept = {True: self._manager(True), False: self._manager(False)}

    def _manager(self, through_proxy: bool) -> urllib3.PoolManager:
        proxy = self.server.proxy
        if not through_proxy or not proxy:
            return urllib3.PoolManager(**self._settings)
        if proxy.startswith("socks"):
            try:
                from urllib3.contrib.socks import SOCKSProxyManager

                return SOCKSProxyManager(proxy, **self._settings)
            except (ImportError, ValueError) as error:
                reason = f"The proxy {proxy} cannot be used"
                raise failure("invalid_option", reason=reason, message=str(error)) from error
        return urllib3.ProxyManager(proxy, proxy_headers=dict(self.server.proxy_headers), **self._settings)

    def request(
        self,
        method: str,
        url: str,
        *,
        read_timeout: float,
        retries: int = 0,
        body: t.Any = None,
        content_type: str = "application/json",
    ) -> Answer:
        """Send one request, with ``body`` as JSON, and read the whole answer, whatever its status.

        ``retries`` is for requests that change nothing: how often it is sent again after a broken connection, 429 or
        503. Raises :class:`TransportError` when there is no answer.
        """
        through_proxy = self._bypasses is not None and not self._bypasses(url, self.server.no_proxy or "")
        # A connection kept from before may be closed by the other side at any moment; after that nobody could say
        # whether a request that changes something was read. So each of those has a connection of its own.
        manager = self._kept[through_proxy] if method == "GET" else self._manager(through_proxy)
        began = time.monotonic()
        headers = urllib3.HTTPHeaderDict({"Accept": "application/json"})
        for name, value in self.server.headers:
            headers.add(name, value)
        if method != "GET":
            headers["Connection"] = "close"
        if body is not None:
            headers["Content-Type"] = content_type
        authorization = self.server.authorization()
        if authorization:
            headers["Authorization"] = authorization
        try:
            response = manager.request(
                method,
                url,
                body=None if body is None else json.dumps(body).encode(),
                headers=headers,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=read_timeout),
                retries=urllib3.Retry(retries, backoff_factor=0.2, status_forcelist=[429, 503], raise_on_status=False)
                if retries
                else False,
                redirect=False,
                preload_content=False,
            )
            content = response.read(LONGEST_BODY, decode_content=True)
            response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise _transport_error(error, time.monotonic() - began >= read_timeout) from error
        except OSError as error:
            raise TransportError("lost", str(error)) from error
        return Answer(
            response.status, content.decode("utf-8", "replace"), _seconds(response.headers.get("Retry-After"))
        )

    def connected(self, url: str) -> socket.socket:
        """A connection of its own to where a request to ``url`` goes, TLS and proxy done, on which nothing was said.

        The caller closes it. Raises :class:`TransportError`.
        """
        through_proxy = self._bypasses is not None and not self._bypasses(url, self.server.no_proxy or "")
        # urllib3 has no public way to a bare connection; these two steps are those of its urlopen(), 1.26 and 2.8.
        pool: t.Any = self._manager(through_proxy).connection_from_url(url)
        line = pool._get_conn()
        line.timeout = CONNECT_TIMEOUT
        try:
            if pool.proxy is not None:
                pool._prepare_proxy(line)
            if line.sock is None:
                line.connect()
        except urllib3.exceptions.HTTPError as error:
            raise _transport_error(error, False) from error
        except ssl.SSLError as error:
            raise _transport_error(urllib3.exceptions.SSLError(error), False) from error
        except OSError as error:
            raise TransportError("refused", str(error)) from error
        found: socket.socket = line.sock
        found.settimeout(CONNECT_TIMEOUT)
        return found


def _kubernetes_rule_for_no_proxy() -> t.Callable[[str, str], bool]:
    """The kubernetes library's own reading of ``no_proxy``, networks included."""
    try:
        from kubernetes.client.rest import should_bypass_proxies
    except ImportError as error:
        raise failure("library_missing", message=str(error)) from error
    return should_bypass_proxies


def readable_file(path: str | None, option: str) -> str | None:
    """``path`` with ``~`` expanded, after checking that it can be read."""
    if not path:
        return None
    expanded = os.path.expanduser(path)
    try:
        with open(expanded, "rb"):
            return expanded
    except OSError as error:
        raise failure(
            "credentials_unusable", reason=f"{option}: the file {path} cannot be read", message=str(error)
        ) from error


def _seconds(value: str | None) -> float | None:
    return float(value) if value and value.isdigit() else None
