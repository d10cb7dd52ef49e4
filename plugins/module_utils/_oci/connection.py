# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP to a registry: one connection at a time, TLS, and who we are.

Sources: OCI distribution-spec v1.1; distribution/distribution docs/spec/auth/token.md and oauth.md (v3.0);
RFC 9110 section 11 (challenges).

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import ssl
import typing as t
import urllib.parse

from .._common.errors import CheckpointError
from .credentials import Credentials
from .reference import Name

CONNECT_SECONDS = 15.0
STALL_SECONDS = 300.0
"""A registry that puts blobs into an object store copies them when an upload ends, and is silent meanwhile."""

LONGEST_ANSWER = 4 << 20
"""The distribution specification asks registries to take manifests up to this size."""

LONGEST_TEXT = 500

_PARAMETER = re.compile(r'([A-Za-z_]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


class Answer(t.NamedTuple):
    """``headers`` have names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The registry's own words, shortened."""
        with contextlib.suppress(ValueError, RecursionError):
            document = json.loads(self.body)
            errors = document.get("errors") if isinstance(document, dict) else None
            if isinstance(errors, list):
                parts = [f"{item.get('code')}: {item.get('message')}" for item in errors if isinstance(item, dict)]
                return f"{self.status} {'; '.join(parts)}"[:LONGEST_TEXT]
        words = self.body.decode("utf-8", "replace")
        return f"{self.status} {' '.join(words.split())}"[:LONGEST_TEXT].strip()

    def json(self) -> dict[str, t.Any]:
        """The body as an object, an empty one where it is something else."""
        with contextlib.suppress(ValueError, RecursionError):
            document = json.loads(self.body)
            if isinstance(document, dict):
                return document
        return {}


def challenge(header: str) -> tuple[str, dict[str, str]]:
    """Scheme in lower case and parameters of a WWW-Authenticate header, of several challenges the first of a kind
    that is known here."""
    for scheme in ("bearer", "basic"):
        match = re.search(rf"(?:^|,)\s*{scheme}\b", header, re.IGNORECASE)
        if match is not None:
            found = _PARAMETER.findall(header[match.end() :])
            return scheme, {key.lower(): quoted or bare for key, quoted, bare in found}
    return "", {}


class Connection:
    """A registry's host for one repository. Authenticates when it is asked to, for the ``actions``."""

    def __init__(
        self,
        name: Name,
        credentials: t.Optional[Credentials] = None,
        ca_cert: t.Optional[str] = None,
        plain_http: bool = False,
        actions: str = "pull,push",
    ) -> None:
        self.name = name
        self.plain_http = plain_http
        self._actions = actions
        self._credentials = credentials
        self._context = _context(ca_cert)
        self._open: dict[str, http.client.HTTPConnection] = {}
        self._authorization = ""

    def close(self) -> None:
        """End all connections. The next request opens one anew."""
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    def renew(self) -> None:
        """Begin anew before something long: registries end idle connections, and tokens last a minute or so."""
        self.close()
        if self._authorization.startswith("Bearer "):
            self._authorization = ""

    def url(self, path: str) -> str:
        """The URL of something in the repository."""
        scheme = "http" if self.plain_http else "https"
        return f"{scheme}://{self.name.host}/v2/{self.name.repository}/{path}"

    def ask(self, method: str, url: str, headers: t.Optional[dict[str, str]] = None, body: bytes = b"") -> Answer:
        """One request and its answer. Authenticates, once, where the registry asks for it.

        Raises CheckpointError registry_unreachable, certificate_untrusted, registry_cut, unauthorized, denied,
        token_refused.
        """
        answer = self._ask(method, url, headers or {}, body)
        if answer.status == 401 and self._is_registry(url):
            self._authorize(answer)
            answer = self._ask(method, url, headers or {}, body)
        return self.checked(answer)

    def checked(self, answer: Answer) -> Answer:
        """The answer, if it is no refusal of who we are."""
        if answer.status == 401:
            raise self._unauthorized(answer.text)
        if answer.status == 403:
            raise CheckpointError(
                "denied",
                f"The registry {self.name.registry} does not let this user into {self.name.repository}"
                if self._credentials is not None
                else f"The registry {self.name.registry} lets nobody without credentials into {self.name.repository}",
                hint="Ask for the right to that repository (to make an image: to push), or give other credentials",
                message=answer.text,
            )
        return answer

    def begin(self, method: str, url: str, headers: dict[str, str]) -> http.client.HTTPConnection:
        """Send the head of a request whose body the caller sends. Raises as ask() does."""
        parts = urllib.parse.urlsplit(url)
        with self._blaming():
            connection = self._connection(parts)
            connection.putrequest(method, _target(parts), skip_accept_encoding=True)
            for key, value in {**self._own_headers(url), **headers}.items():
                connection.putheader(key, value)
            connection.endheaders()
        return connection

    def finish(self, connection: http.client.HTTPConnection) -> Answer:
        """The answer to what was begun. Raises CheckpointError registry_cut."""
        with self._blaming():
            return _answer(connection)

    def begun(self, connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        """The head of the answer to what was begun; its body is read with :meth:`read`. Raises as finish() does."""
        with self._blaming():
            return connection.getresponse()

    def read(self, response: http.client.HTTPResponse, size: int) -> bytes:
        """The next bytes of a body. Raises CheckpointError registry_cut."""
        with self._blaming():
            return response.read(size)

    def _ask(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        parts = urllib.parse.urlsplit(url)
        merged = {**self._own_headers(url), **headers}
        reused = parts.netloc in self._open
        with self._blaming():
            try:
                return self._exchange(parts, method, merged, body)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                # A server may end a connection that was idle. What only asks, or only begins, may be said again.
                self._drop(parts)
                if not reused or method not in ("GET", "HEAD", "POST", "DELETE"):
                    raise
                return self._exchange(parts, method, merged, body)

    def _exchange(self, parts: urllib.parse.SplitResult, method: str, headers: dict[str, str], body: bytes) -> Answer:
        connection = self._connection(parts)
        # None, not b"": without a body http.client knows which methods need a length of 0 all the same.
        connection.request(method, _target(parts), body or None, headers)
        return _answer(connection)

    def _is_registry(self, url: str) -> bool:
        return _origin(url) == _origin(self.url(""))

    def _own_headers(self, url: str) -> dict[str, str]:
        """Credentials go to the registry alone, not to a store that it sends us to."""
        found = {"User-Agent": "checkpoint_restore.kubernetes"}
        if self._authorization and self._is_registry(url):
            found["Authorization"] = self._authorization
        return found

    def _connection(self, parts: urllib.parse.SplitResult) -> http.client.HTTPConnection:
        found = self._open.get(parts.netloc)
        if found is not None and found.sock is not None:
            return found
        if parts.scheme == "https":
            found = http.client.HTTPSConnection(parts.netloc, timeout=CONNECT_SECONDS, context=self._context)
        elif parts.scheme == "http" and self.plain_http:
            found = http.client.HTTPConnection(parts.netloc, timeout=CONNECT_SECONDS)
        else:
            raise CheckpointError(
                "registry_insecure",
                f"The registry {self.name.registry} leads to a place without TLS: {parts.scheme}://{parts.netloc}",
                hint="Repair the registry, or the proxy in front of it: it has to know that it is reached by https",
            )
        try:
            found.connect()
        except ssl.SSLCertVerificationError as error:
            raise CheckpointError(
                "certificate_untrusted",
                f"The certificate of {parts.netloc} cannot be verified",
                hint="Give the CA that signed it as ca_cert, or have this machine trust it",
                message=error.verify_message or str(error),
            ) from error
        except ssl.SSLError as error:
            raise CheckpointError(
                "registry_unreachable",
                f"{parts.netloc} does not speak TLS as this machine does",
                hint="If it is a registry without TLS, set plain_http",
                message=str(error),
            ) from error
        except OSError as error:
            raise CheckpointError(
                "registry_unreachable",
                f"There is no connection to the registry at {parts.netloc} from this machine",
                hint="Look at name, port, route and firewall. The module runs where the archive lies",
                message=str(error),
            ) from error
        found.sock.settimeout(STALL_SECONDS)
        self._open[parts.netloc] = found
        return found

    def _drop(self, parts: urllib.parse.SplitResult) -> None:
        found = self._open.pop(parts.netloc, None)
        if found is not None:
            found.close()

    @contextlib.contextmanager
    def _blaming(self) -> t.Iterator[None]:
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            self.close()
            silent = isinstance(error, TimeoutError) or "timed out" in str(error)
            raise CheckpointError(
                "registry_cut",
                f"The registry {self.name.registry} "
                + (f"said nothing for {STALL_SECONDS:.0f} s" if silent else "ended the connection"),
                hint="Run it again. If it happens at the same place every time, look at the registry's log, and at "
                "the limits of a proxy in front of it",
                message=str(error) or type(error).__name__,
            ) from error

    def _authorize(self, answer: Answer) -> None:
        """Answer the challenge of a registry. Raises CheckpointError unauthorized, token_refused."""
        scheme, parameters = challenge(answer.headers.get("www-authenticate", ""))
        # What has run out must not go to the token server.
        self._authorization = ""
        if scheme == "bearer":
            self._authorization = f"Bearer {self._token(parameters)}"
        elif scheme == "basic" and self._credentials is not None and not self._credentials.identity_token:
            self._authorization = self._credentials.basic()
        else:
            raise self._unauthorized(answer.text)

    def _unauthorized(self, text: str) -> CheckpointError:
        return CheckpointError(
            "unauthorized",
            f"The registry {self.name.registry} does not accept the credentials for {self.name.repository}"
            if self._credentials is not None
            else f"The registry {self.name.registry} wants credentials, and none were found for it",
            hint="Look at user and password, and whether they are meant for this registry",
            message=text,
        )

    def _token(self, parameters: dict[str, str]) -> str:
        realm = parameters.get("realm", "")
        parts = urllib.parse.urlsplit(realm)
        query = {"scope": f"repository:{self.name.repository}:{self._actions}"}
        if parameters.get("service"):
            query["service"] = parameters["service"]
        given = self._credentials
        if given is not None and given.identity_token:
            form = {**query, "grant_type": "refresh_token", "refresh_token": given.identity_token}
            form["client_id"] = "checkpoint_restore.kubernetes"
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            answer = self._ask("POST", realm, kind, urllib.parse.urlencode(form).encode())
        else:
            headers = {"Authorization": given.basic()} if given is not None else {}
            joined = "&".join(filter(None, [parts.query, urllib.parse.urlencode(query)]))
            answer = self._ask("GET", urllib.parse.urlunsplit(parts._replace(query=joined)), headers, b"")
        if answer.status == 401:
            raise self._unauthorized(answer.text)
        document = answer.json()
        token = document.get("token") or document.get("access_token")
        if answer.status != 200 or not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise CheckpointError(
                "token_refused",
                f"The token server {parts.netloc} of the registry {self.name.registry} gave no token",
                hint="Look at the registry's settings, and at the log of its token server",
                # A body may hold a token in some other shape.
                message=answer.text if answer.status != 200 else "200 without a token",
            )
        return token


def _origin(url: str) -> tuple[str, t.Optional[str], int]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _target(parts: urllib.parse.SplitResult) -> str:
    return urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))


def _answer(connection: http.client.HTTPConnection) -> Answer:
    response = connection.getresponse()
    body = response.read(LONGEST_ANSWER + 1)
    if len(body) > LONGEST_ANSWER:
        connection.close()
        raise http.client.HTTPException(f"the answer is longer than {LONGEST_ANSWER} bytes")
    # What is left of it would stand in the way of the next answer.
    response.close()
    return Answer(response.status, {key.lower(): value for key, value in response.getheaders()}, body)


def _context(ca_cert: t.Optional[str]) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_cert)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            "ca_unusable",
            f"The file of ca_cert cannot be used: {ca_cert}",
            hint="Give the path of a file with certificates in PEM format, on the host where the module runs",
            message=str(error),
        ) from error
