# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The authentication options, for modules and, with C(env), for inventory plugins.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - 'The kubeconfig: a path, several paths with colons between, or the content as a dictionary.'
      - Without it, and without O(context) or O(host) with credentials, the service account is used inside a pod, and
        otherwise E(KUBECONFIG) or C(~/.kube/config).
      - It is read on the host where the module runs.
      - Can also be given by E(K8S_AUTH_KUBECONFIG).
    type: raw
  context:
    description:
      - The context to use of the kubeconfig.
      - Can also be given by E(K8S_AUTH_CONTEXT).
    type: str
  host:
    description:
      - URL of the API server. Together with O(api_key), with O(username) and O(password), or with O(client_cert) and
        O(client_key), no kubeconfig is read at all.
      - Can also be given by E(K8S_AUTH_HOST).
    type: str
  api_key:
    description:
      - Bearer token. It takes the place of all credentials of the kubeconfig, client certificates included.
      - Can also be given by E(K8S_AUTH_API_KEY).
    type: str
  username:
    description:
      - User name for basic authentication, for proxies in front of the API server that offer it.
      - Can also be given by E(K8S_AUTH_USERNAME).
    type: str
  password:
    description:
      - Password that belongs to O(username).
      - Can also be given by E(K8S_AUTH_PASSWORD).
    type: str
  client_cert:
    description:
      - Path of a client certificate (PEM). It takes the place of all credentials of the kubeconfig.
      - Can also be given by E(K8S_AUTH_CLIENT_CERT) or E(K8S_AUTH_CERT_FILE).
    type: path
    aliases: [cert_file]
  client_key:
    description:
      - Path of the key (PEM) that belongs to O(client_cert).
      - Can also be given by E(K8S_AUTH_CLIENT_KEY) or E(K8S_AUTH_KEY_FILE).
    type: path
    aliases: [key_file]
  ca_cert:
    description:
      - Path of the CA certificates (PEM) that the API server's certificate has to verify against.
      - Can also be given by E(K8S_AUTH_CA_CERT) or E(K8S_AUTH_SSL_CA_CERT).
    type: path
    aliases: [ssl_ca_cert]
  validate_certs:
    description:
      - Whether to check the API server's certificate. Without it the kubeconfig decides, and checking is the rule.
      - Can also be given by E(K8S_AUTH_VALIDATE_CERTS) or E(K8S_AUTH_VERIFY_SSL).
    type: bool
    aliases: [verify_ssl]
  proxy:
    description:
      - 'URL of a proxy: C(http), C(https) or C(socks5). Without it the kubeconfig and then E(HTTPS_PROXY) decide.'
      - Can also be given by E(K8S_AUTH_PROXY).
    type: str
  no_proxy:
    description:
      - Hosts, domains and networks, with commas between, that are reached without the proxy.
      - Can also be given by E(K8S_AUTH_NO_PROXY).
    type: str
  proxy_headers:
    description: Headers for the proxy.
    type: dict
    suboptions:
      proxy_basic_auth:
        description:
          - User and password, with a colon between, for the proxy.
          - Can also be given by E(K8S_AUTH_PROXY_HEADERS_PROXY_BASIC_AUTH).
        type: str
      basic_auth:
        description:
          - User and password, with a colon between, as an C(authorization) header for the proxy.
          - Can also be given by E(K8S_AUTH_PROXY_HEADERS_BASIC_AUTH).
        type: str
      user_agent:
        description:
          - The user agent to present.
          - Can also be given by E(K8S_AUTH_PROXY_HEADERS_USER_AGENT).
        type: str
  persist_config:
    description:
      - Whether a token that had to be renewed is written back to the kubeconfig.
      - Can also be given by E(K8S_AUTH_PERSIST_CONFIG).
    type: bool
  impersonate_user:
    description:
      - The user to act as at the API server.
      - Can also be given by E(K8S_AUTH_IMPERSONATE_USER).
    type: str
  impersonate_groups:
    description:
      - The groups to act as at the API server; commas between them in the environment.
      - Can also be given by E(K8S_AUTH_IMPERSONATE_GROUPS).
    type: list
    elements: str
requirements:
  - kubernetes (Python library), on the host where the module runs
notes:
  - Options that are given win over what a kubeconfig says. A credential that is given replaces all of its credentials.
"""

    KUBELET = r"""
options:
  via:
    description:
      - V(kubelet) goes straight to the kubelets and needs the right to create C(nodes/checkpoint), nothing more.
      - V(apiserver) goes through the API server and needs the right to create C(nodes/proxy), which amounts to a shell
        in every pod. The API server's own client has to be allowed to create C(nodes/checkpoint) in this case.
      - The collection has manifests for each of these in C(playbooks/files/rbac).
    type: str
    choices: [kubelet, apiserver]
    default: kubelet
  kubelet_port:
    description:
      - The kubelets' port. Without it the one that the node reports is used, and V(10250) where that is not known.
    type: int
  kubelet_ca_cert:
    description:
      - Path of the CA certificates (PEM) that the kubelets' certificates have to verify against, by default the API
        server's.
    type: path
  kubelet_client_cert:
    description:
      - Path of a client certificate (PEM) for the kubelets. It takes the place of all other credentials there.
    type: path
  kubelet_client_key:
    description:
      - Path of the key (PEM) that belongs to O(kubelet_client_cert).
    type: path
  kubelet_api_key:
    description:
      - Bearer token for the kubelets. It takes the place of all other credentials there.
    type: str
  kubelet_validate_certs:
    description:
      - Whether to check the kubelets' certificates. O(validate_certs) and the kubeconfig have no say in this, because
        a token is sent to every kubelet.
    type: bool
    default: true
"""

    INVENTORY = r"""
options:
  kubeconfig:
    description:
      - 'The kubeconfig: a path, several paths with colons between, or the content as a dictionary.'
      - Without it, and without O(context) or O(host) with credentials, the service account is used inside a pod, and
        otherwise E(KUBECONFIG) or C(~/.kube/config).
      - It is read on the host where the plugin runs.
    type: raw
    env:
      - name: K8S_AUTH_KUBECONFIG
  context:
    description:
      - The context to use of the kubeconfig.
    type: str
    env:
      - name: K8S_AUTH_CONTEXT
  host:
    description:
      - URL of the API server. Together with O(api_key), with O(username) and O(password), or with O(client_cert) and
        O(client_key), no kubeconfig is read at all.
    type: str
    env:
      - name: K8S_AUTH_HOST
  api_key:
    description:
      - Bearer token. It takes the place of all credentials of the kubeconfig, client certificates included.
    type: str
    env:
      - name: K8S_AUTH_API_KEY
  username:
    description:
      - User name for basic authentication, for proxies in front of the API server that offer it.
    type: str
    env:
      - name: K8S_AUTH_USERNAME
  password:
    description:
      - Password that belongs to O(username).
    type: str
    env:
      - name: K8S_AUTH_PASSWORD
  client_cert:
    description:
      - Path of a client certificate (PEM). It takes the place of all credentials of the kubeconfig.
    type: path
    aliases: [cert_file]
    env:
      - name: K8S_AUTH_CLIENT_CERT
      - name: K8S_AUTH_CERT_FILE
  client_key:
    description:
      - Path of the key (PEM) that belongs to O(client_cert).
    type: path
    aliases: [key_file]
    env:
      - name: K8S_AUTH_CLIENT_KEY
      - name: K8S_AUTH_KEY_FILE
  ca_cert:
    description:
      - Path of the CA certificates (PEM) that the API server's certificate has to verify against.
    type: path
    aliases: [ssl_ca_cert]
    env:
      - name: K8S_AUTH_CA_CERT
      - name: K8S_AUTH_SSL_CA_CERT
  validate_certs:
    description:
      - Whether to check the API server's certificate. Without it the kubeconfig decides, and checking is the rule.
    type: bool
    aliases: [verify_ssl]
    env:
      - name: K8S_AUTH_VALIDATE_CERTS
      - name: K8S_AUTH_VERIFY_SSL
  proxy:
    description:
      - 'URL of a proxy: C(http), C(https) or C(socks5). Without it the kubeconfig and then E(HTTPS_PROXY) decide.'
    type: str
    env:
      - name: K8S_AUTH_PROXY
  no_proxy:
    description:
      - Hosts, domains and networks, with commas between, that are reached without the proxy.
    type: str
    env:
      - name: K8S_AUTH_NO_PROXY
  proxy_headers:
    description: Headers for the proxy, a dictionary of C(proxy_basic_auth), C(basic_auth) and C(user_agent).
    type: dict
  persist_config:
    description:
      - Whether a token that had to be renewed is written back to the kubeconfig.
    type: bool
    env:
      - name: K8S_AUTH_PERSIST_CONFIG
  impersonate_user:
    description:
      - The user to act as at the API server.
    type: str
    env:
      - name: K8S_AUTH_IMPERSONATE_USER
  impersonate_groups:
    description:
      - The groups to act as at the API server; commas between them in the environment.
    type: list
    elements: str
    env:
      - name: K8S_AUTH_IMPERSONATE_GROUPS
requirements:
  - kubernetes (Python library)
"""
