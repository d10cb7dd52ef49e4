# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts for the jobs of this collection: given, kept as they should be, taken back.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import re
import time
import typing as t

from . import access_kubelet_client, access_token, auth
from .access_objects import Account, kubelet_client_objects, objects, path
from .access_steps import Step, in_namespaces, others_in, steps_away, steps_to, wait_until_gone
from .access_token import KubeconfigFile, Token
from .api import ApiSession, Thing
from .failures import KubeError, duration, failure

Options = t.Mapping[str, t.Any]

OBJECT_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
# The API server may give a token seconds more or less than asked for.
TOLERANCE = 60.0
HINT = (
    "Run it as an administrator: it has to read, create, update and delete ServiceAccounts, roles and bindings, and to "
    "hold, or to be allowed to escalate, every right that it gives"
)


def run(options: Options, *, check_mode: bool) -> dict[str, t.Any]:
    """The result of M(checkpoint_access) for its ``options``.

    Raises ``invalid_option``, ``object_not_ours``, and everything that asking the API server can end with.
    """
    access = _Access(options)
    try:
        return access.present(check_mode) if options["state"] == "present" else access.absent(check_mode)
    except KubeError as error:
        if error.code == "forbidden" and error.details["phase"] == "select":
            error.hint = HINT
        raise


class _Access:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._accounts = _accounts(options)
        self._files = {
            account.name: KubeconfigFile(given["dest"], account)
            for account, given in zip(self._accounts, options["accounts"])
            if given["dest"]
        }
        self._session = ApiSession(auth.api_server(options))
        self._warnings: list[str] = []

    def present(self, check_mode: bool) -> dict[str, t.Any]:
        expiration = duration(self._options, "token_expiration")
        rest = duration(self._options, "token_renew_before")
        steps = self._account_steps()
        client = None
        if self._options["kubelet_client"]:
            wanted, client = access_kubelet_client.needed(self._session, self._options["kubelet_client_user"])
            steps += steps_to(self._session, wanted)
        if not check_mode:
            for step in steps:
                step.take(self._session)
        changes, tokens = [], {}
        for account, given in zip(self._accounts, self._options["accounts"]):
            source = _Tokens(self._session, account, self._files.get(account.name), check_mode)
            tokens[account.name] = source.provide(given["token"], expiration, rest)
            changes += source.changes
            self._warnings += source.warnings
        return self._result(steps, changes, tokens, client)

    def absent(self, check_mode: bool) -> dict[str, t.Any]:
        steps: list[Step] = []
        if self._options["kubelet_client"]:
            steps += self._away(reversed(kubelet_client_objects("")))
        namespace: list[Thing] = []
        for account in self._accounts:
            steps += [Step("remove", thing, None) for thing in in_namespaces(self._session, account.title)]
            # Without jobs: which ones it had is of no importance now.
            first, *rest = objects(Account(account.namespace, account.name))
            steps += self._away(reversed(rest))
            namespace = [first]
        steps += self._namespace_steps(namespace, steps)
        files = [(account, self._files[account.name]) for account in self._accounts if account.name in self._files]
        files = [(account, file) for account, file in files if file.content is not None]
        if not check_mode:
            self._take_back(steps)
            for _who, file in files:
                file.remove()
        changes = [_change("remove", f"kubeconfig of {account.user}", file.path) for account, file in files]
        return self._result(steps, changes, {}, None)

    def _account_steps(self) -> list[Step]:
        wanted: list[Thing] = []
        stale: list[Step] = []
        for account in self._accounts:
            for namespace in account.namespaces:
                if namespace != account.namespace and self._session.get(path("Namespace", name=namespace)) is None:
                    raise failure("invalid_option", reason=f"There is no namespace {namespace}", hint="Make it first")
            of_account = objects(account)
            wanted += [thing for thing in of_account if thing not in wanted]
            kept = {thing["metadata"].get("namespace") for thing in of_account if thing["kind"] == "Role"}
            stale += [
                Step("remove", thing, None)
                for thing in in_namespaces(self._session, account.title)
                if thing["metadata"]["namespace"] not in kept
            ]
        return steps_to(self._session, wanted) + stale

    def _away(self, things: t.Iterable[Thing]) -> list[Step]:
        steps, warnings = steps_away(self._session, things)
        self._warnings += warnings
        return steps

    def _namespace_steps(self, namespace: list[Thing], before: list[Step]) -> list[Step]:
        """The namespace goes only if it was made here, and if nothing else would go with it."""
        steps = self._away(namespace)
        if not steps:
            return []
        name = steps[0].thing["metadata"]["name"]
        ours = {(f"{step.thing['kind'].lower()}s", str(step.thing["metadata"]["name"])) for step in before}
        try:
            other = others_in(self._session, name, ours)
        except KubeError as error:
            other = f"something that cannot be listed ({error.message or error.reason})"
        if other is None:
            return steps
        self._warnings.append(f"The namespace {name} stays, because {other} is in it")
        return []

    def _take_back(self, steps: list[Step]) -> None:
        for step in steps:
            step.take(self._session)
        for step in steps:
            name = step.thing["metadata"]["name"]
            if step.thing["kind"] == "Namespace" and not wait_until_gone(self._session, path("Namespace", name=name)):
                self._warnings.append(f"The namespace {name} is still being removed")

    def _result(
        self,
        steps: list[Step],
        more: list[dict[str, t.Any]],
        tokens: t.Mapping[str, Token | None],
        client: str | None,
    ) -> dict[str, t.Any]:
        changes = [_change(step.action, step.what) for step in steps] + more
        changes.sort(key=lambda change: (change["path"] or "", change["what"], change["action"]))
        return {
            "changed": bool(changes),
            "changes": changes,
            "accounts": [
                self._told(account, tokens.get(account.name), given["token"])
                for account, given in zip(self._accounts, self._options["accounts"])
            ],
            "kubelet_client_user": client,
            "diff": [step.diff for step in steps],
            "warnings": self._warnings,
        }

    def _told(self, account: Account, token: Token | None, with_token: bool) -> dict[str, t.Any]:
        file = self._files.get(account.name)
        return {
            "name": account.name,
            "user": account.user,
            "dest": file.path if file else None,
            "expires": token.until if token else None,
            "token": token.value if token and with_token else None,
        }


class _Tokens:
    """The token that is returned, and the one in the kubeconfig: the same one where both are wanted."""

    def __init__(self, session: ApiSession, account: Account, file: KubeconfigFile | None, check_mode: bool) -> None:
        self._session = session
        self._account = account
        self._file = file
        self._check_mode = check_mode
        self._token: Token | None = None
        self.changes: list[dict[str, t.Any]] = []
        self.warnings: list[str] = []

    def provide(self, asked_for: bool, expiration: float, rest: float) -> Token | None:
        """The account's token, where one is wanted. ``asked_for``: a new one, which the kubeconfig gets as well."""
        if not asked_for and self._file is None:
            return None
        self._token = self._kept()
        if asked_for or not access_token.enough_left(self._token, rest):
            self._token = None
            if not self._check_mode:
                self._token = access_token.request(self._session, self._account, expiration)
                self._warn(self._token, expiration, rest)
            if asked_for:
                self.changes.append(_change("create", f"token of {self._account.user}"))
        if self._file is not None:
            self._put(self._file)
        return self._token

    def _kept(self) -> Token | None:
        live = self._session.get(path("ServiceAccount", self._account.namespace, self._account.name))
        return self._file.token(live["metadata"]["uid"]) if self._file and live else None

    def _put(self, file: KubeconfigFile) -> None:
        content = (
            access_token.kubeconfig(self._session.server, self._account, self._token.value) if self._token else None
        )
        if content is not None and content == file.content and file.is_private:
            return
        action = "create" if file.content is None else "change"
        self.changes.append(_change(action, f"kubeconfig of {self._account.user}", file.path))
        if content is not None and not self._check_mode:
            file.write(content)

    def _warn(self, token: Token, expiration: float, rest: float) -> None:
        if token.expires < time.time() + expiration - TOLERANCE:
            self.warnings.append(f"The API server lets the token live only until {token.until}")
        if not access_token.enough_left(token, rest):
            self.warnings.append("Every run makes a new token: none lives longer than token_renew_before")


def _accounts(options: Options) -> list[Account]:
    accounts = [
        Account(
            namespace=options["namespace"],
            name=given["name"],
            jobs=tuple(given["jobs"]),
            namespaces=tuple(given["namespaces"]),
            nodes=tuple(given["nodes"]),
        )
        for given in options["accounts"]
    ]
    names = [account.name for account in accounts]
    for name in [options["namespace"], *names]:
        if not OBJECT_NAME.fullmatch(name):
            raise failure("invalid_option", reason=f"This cannot be the name of an object: {name!r}")
    for account in accounts:
        if names.count(account.name) > 1:
            raise failure("invalid_option", reason=f"accounts has {account.name} more than once")
        if not account.jobs and options["state"] == "present":
            hint = "Name at least one, or use state: absent"
            raise failure("invalid_option", reason=f"The account {account.name} has no jobs", hint=hint)
    return accounts


def _change(action: str, what: str, place: str | None = None) -> dict[str, t.Any]:
    return {"component": "rbac", "path": place, "action": action, "what": what}
