# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that several modules share, as argument specs.

Names, aliases and environment variables of the authentication options are those of kubernetes.core, both spellings that
AWX injects included. The documentation is in ``plugins/doc_fragments/_auth.py``.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import typing as t

Spec = dict[str, dict[str, t.Any]]


def auth_options(env_fallback: t.Callable[..., t.Any]) -> Spec:
    """Authentication at the API server. ``env_fallback`` is Ansible's, handed in to keep this room free of Ansible."""

    def option(*variables: str, **rest: t.Any) -> dict[str, t.Any]:
        return {**rest, "fallback": (env_fallback, [f"K8S_AUTH_{variable}" for variable in variables])}

    return {
        "kubeconfig": option("KUBECONFIG", type="raw"),
        "context": option("CONTEXT", type="str"),
        "host": option("HOST", type="str"),
        "api_key": option("API_KEY", type="str", no_log=True),
        "username": option("USERNAME", type="str"),
        "password": option("PASSWORD", type="str", no_log=True),
        "client_cert": option("CLIENT_CERT", "CERT_FILE", type="path", aliases=["cert_file"]),
        "client_key": option("CLIENT_KEY", "KEY_FILE", type="path", aliases=["key_file"], no_log=False),
        "ca_cert": option("CA_CERT", "SSL_CA_CERT", type="path", aliases=["ssl_ca_cert"]),
        "validate_certs": option("VALIDATE_CERTS", "VERIFY_SSL", type="bool", aliases=["verify_ssl"]),
        "proxy": option("PROXY", type="str"),
        "no_proxy": option("NO_PROXY", type="str"),
        "proxy_headers": {
            "type": "dict",
            "apply_defaults": True,
            "options": {
                "proxy_basic_auth": option("PROXY_HEADERS_PROXY_BASIC_AUTH", type="str", no_log=True),
                "basic_auth": option("PROXY_HEADERS_BASIC_AUTH", type="str", no_log=True),
                "user_agent": option("PROXY_HEADERS_USER_AGENT", type="str"),
            },
        },
        "persist_config": option("PERSIST_CONFIG", type="bool"),
        "impersonate_user": option("IMPERSONATE_USER", type="str"),
        "impersonate_groups": option("IMPERSONATE_GROUPS", type="list", elements="str"),
    }


def kubelet_options() -> Spec:
    """How kubelets are reached and trusted, where that differs from the API server."""
    return {
        "via": {"type": "str", "choices": ["kubelet", "apiserver"], "default": "kubelet"},
        "kubelet_port": {"type": "int"},
        "kubelet_ca_cert": {"type": "path"},
        "kubelet_client_cert": {"type": "path"},
        "kubelet_client_key": {"type": "path", "no_log": False},
        "kubelet_api_key": {"type": "str", "no_log": True},
        "kubelet_validate_certs": {"type": "bool", "default": True},
    }
