# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the authentication options to servers that can be asked.

Precedence, as in kubernetes.core: (1) ``host`` with a complete set of credentials, and no kubeconfig is read; (2) else
``kubeconfig`` or ``context``; (3) else the service account of the pod this runs in, then the default kubeconfig.
Options that are given then replace what was loaded. Unlike there, a credential that is given replaces the loaded ones
altogether: a client certificate left over from a kubeconfig would win over a token at the API server.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import logging
import os
import re
import threading
import typing as t
import urllib.request

from .failures import KubeError, failure
from .http import Server, readable_file

Options = t.Mapping[str, t.Any]
# token, id-token, password, client-secret, client-key-data, AWS_SECRET_ACCESS_KEY and the like; not client-key, a path.
SECRET_KEY = re.compile(r"token$|passw|secret|key-data$|_key$|credential", re.IGNORECASE)


def api_server(options: Options) -> Server:
    """The API server meant by the options. Raises a failure with a plain reason when there is none."""
    base = Server() if _is_complete(options) else _load(options)
    server = _with_options(base, options)
    if not server.url.startswith(("https://", "http://")):
        raise failure("invalid_option", reason=f"host is not a URL: {server.url!r}", hint="Write https://NAME:PORT")
    groups = [("Impersonate-Group", str(group)) for group in options.get("impersonate_groups") or []]
    user = [("Impersonate-User", str(options["impersonate_user"]))] if options.get("impersonate_user") else []
    return dataclasses.replace(server, headers=(*user, *groups))


def kubelet_server(options: Options, api: t.Callable[[], Server]) -> Server:
    """Trust and credentials for kubelets: the ``kubelet_*`` options, and the API server's where those say nothing.

    ``api`` is called only when something of it is needed: explicit targets with credentials among the options need
    neither kubeconfig nor cluster. A kubelet knows no impersonation. Its certificate is checked unless
    ``kubelet_validate_certs`` says otherwise, whatever a kubeconfig says about the API server's: the token goes there.
    """
    own = _credentials(options, "kubelet_")
    alone = options.get("targets") and not options.get("kubeconfig") and not options.get("context")
    base = _with_options(Server(), options) if alone and (own or _credentials(options)) else api()
    ca_file = readable_file(options.get("kubelet_ca_cert"), "kubelet_ca_cert") or base.ca_file
    verify = options.get("kubelet_validate_certs") is not False
    return dataclasses.replace(base, **own, url="", headers=(), server_name=None, ca_file=ca_file, verify=verify)


def kubeconfig_secrets(kubeconfig: t.Any) -> set[str]:
    """The secret texts in a kubeconfig given as a dictionary: tokens, passwords, keys, also in a plugin's variables.

    Not simply every text: hiding a profile named ``default`` would hide that word in the whole result.
    """
    found: set[str] = set()

    def walk(value: t.Any) -> None:
        if isinstance(value, list):
            for entry in value:
                walk(entry)
        elif isinstance(value, dict):
            named = {str(value.get("name")): value.get("value"), **value}
            for key, inner in named.items():
                if isinstance(inner, str) and inner and SECRET_KEY.search(key):
                    found.add(inner)
                walk(inner)

    if isinstance(kubeconfig, dict):
        walk(kubeconfig.get("users"))
    return found


def _is_complete(options: Options) -> bool:
    return bool(
        options.get("host")
        and (
            options.get("api_key")
            or (options.get("username") and options.get("password"))
            or (options.get("client_cert") and options.get("client_key"))
        )
    )


def _credentials(options: Options, prefix: str = "") -> dict[str, t.Any]:
    """The credentials among the options, as fields of :class:`Server`; empty when there are none."""
    token = str(options.get(f"{prefix}api_key") or "").strip()
    header = None
    if token:
        header = token if token.lower().startswith("bearer ") else f"Bearer {token}"
    elif not prefix and options.get("username") and options.get("password"):
        header = _basic(f"{options['username']}:{options['password']}")
    cert_file = readable_file(options.get(f"{prefix}client_cert"), f"{prefix}client_cert")
    key_file = readable_file(options.get(f"{prefix}client_key"), f"{prefix}client_key")
    if header is None and cert_file is None:
        return {}
    return {"authorization": lambda: header, "cert_file": cert_file, "key_file": key_file}


def _with_options(server: Server, options: Options) -> Server:
    """``server`` with everything replaced that was given as an option; proxies from the environment where unset."""
    changes = _credentials(options)
    if options.get("host"):
        changes["url"] = str(options["host"]).rstrip("/")
    if options.get("ca_cert"):
        changes["ca_file"] = readable_file(options["ca_cert"], "ca_cert")
    if options.get("validate_certs") is not None:
        changes["verify"] = bool(options["validate_certs"])
    environment = urllib.request.getproxies()
    changes["proxy"] = options.get("proxy") or server.proxy or environment.get("https") or environment.get("all")
    changes["no_proxy"] = options.get("no_proxy") or server.no_proxy or environment.get("no")
    headers = options.get("proxy_headers") or {}
    changes["proxy_headers"] = {
        name: value
        for name, value in (
            ("proxy-authorization", headers.get("proxy_basic_auth") and _basic(headers["proxy_basic_auth"])),
            ("authorization", headers.get("basic_auth") and _basic(headers["basic_auth"])),
            ("user-agent", headers.get("user_agent")),
        )
        if value
    }
    return dataclasses.replace(server, **changes)


def _basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _load(options: Options) -> Server:
    """What the kubeconfig or the pod's service account says, read by the ``kubernetes`` library."""
    try:
        import kubernetes.client
        import kubernetes.config
    except ImportError as error:
        raise failure("library_missing", message=str(error)) from error
    library: t.Any = kubernetes.config
    configuration: t.Any = kubernetes.client.Configuration()
    kubeconfig, context = options.get("kubeconfig") or None, options.get("context") or None
    settings = {
        "context": context,
        "client_configuration": configuration,
        "persist_config": bool(options.get("persist_config")),
    }
    with _what_went_wrong(kubeconfig, context) as complaints:
        if isinstance(kubeconfig, dict):
            library.load_kube_config_from_dict(kubeconfig, **settings)
        elif kubeconfig or context:
            library.load_kube_config(config_file=_existing(kubeconfig), **settings)
        else:
            try:
                library.load_incluster_config(client_configuration=configuration)
            except library.ConfigException:
                library.load_kube_config(config_file=_existing(None), **settings)
    lock = threading.Lock()

    def authorization() -> str | None:
        # The library renews tokens of plugins, of OIDC and of the pod here.
        with lock, _what_went_wrong(kubeconfig, context):
            value = configuration.get_api_key_with_prefix("BearerToken", "authorization")
        return None if value is None else str(value)

    if complaints and not configuration.cert_file and not configuration.api_key:
        raise failure(
            "kubeconfig_unusable",
            reason="The credential plugin that the kubeconfig names did not work",
            hint="Run it by hand as the user who runs the module; its name stands in the kubeconfig under exec",
            message="; ".join(complaints),
        )
    return Server(
        url=configuration.host.rstrip("/"),
        ca_file=configuration.ssl_ca_cert,
        cert_file=configuration.cert_file,
        key_file=configuration.key_file,
        verify=configuration.verify_ssl,
        server_name=getattr(configuration, "tls_server_name", None),
        proxy=configuration.proxy,
        no_proxy=getattr(configuration, "no_proxy", None),
        authorization=authorization,
    )


def _default() -> str:
    return os.environ.get("KUBECONFIG") or "~/.kube/config"


def _existing(kubeconfig: t.Any) -> str:
    """``kubeconfig``, one path or several with colons between, if at least one of them is there."""
    if kubeconfig is not None and not isinstance(kubeconfig, str):
        raise failure("invalid_option", reason="kubeconfig is neither a path nor a dictionary")
    paths = kubeconfig or _default()
    if not any(os.path.exists(os.path.expanduser(path)) for path in paths.split(os.pathsep) if path):
        raise failure(
            "kubeconfig_unusable",
            reason=f"There is no kubeconfig at {paths}",
            hint="Give host and api_key, or kubeconfig; inside a pod the service account is used",
        )
    return str(paths)


@contextlib.contextmanager
def _what_went_wrong(kubeconfig: t.Any, context: str | None) -> t.Iterator[list[str]]:
    """Turn whatever the library raises into a failure, and collect what it only logs.

    A credential plugin that fails is only logged there (kubernetes 37.0.2, config/kube_config.py,
    ``_load_from_exec_plugin``); requests would then go out without credentials.
    """
    complaints: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            complaints.append(record.getMessage())

    collector = Collector(logging.ERROR)
    logging.getLogger().addHandler(collector)
    try:
        yield complaints
    except KubeError:
        raise
    except Exception as error:
        # Damaged input makes the library raise almost anything: its own exception, YAML's, KeyError, TypeError.
        where = "given" if isinstance(kubeconfig, dict) else kubeconfig or _default()
        reason = f"The kubeconfig {where} cannot be used"
        if context and "contexts list" in str(error):
            reason = f"The kubeconfig has no context {context}"
        raise failure("kubeconfig_unusable", reason=reason, message=str(error)) from error
    finally:
        logging.getLogger().removeHandler(collector)
