# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of checkpoint_fetch: streams what the node's half has hashed."""

from __future__ import annotations

import os
import secrets
import shlex
import time
import typing as t

from ansible import constants
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.common.text.formatters import bytes_to_human
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.moments import utc
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.arguments import ARGUMENT_SPEC
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.landing import (
    Wanted,
    is_here,
    local_name,
    receive,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.node import BLOCK_BYTES
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._transfer.pipe import (
    NotStartedError,
    block_script,
    decode_block,
    read_stream,
    stream_script,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.plugin_utils import logins

EXEC_BLOCK_BYTES = 4 * BLOCK_BYTES
PROGRESS_SECONDS = 3.0
RETRYABLE = frozenset(
    ("archive_changing", "destination_busy", "digest_mismatch", "node_unreachable", "transfer_cut", "transfer_stalled")
)

display = Display()


class ActionModule(ActionBase):
    """Runs the module on the node, then fetches archive by archive over the connection of the task."""

    TRANSFERS_FILES = False
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """The documented result. Raises only what Ansible itself raises, for an unreachable host."""
        result = super().run(tmp, task_vars)
        _validation, self._options = self.validate_argument_spec(ARGUMENT_SPEC)
        archives = sorted(self._options["archives"], key=lambda archive: archive["path"])
        self._host = (task_vars or {}).get("inventory_hostname", self._play_context.remote_addr)
        result.update(changed=False, archives=[], failures=[], node={})
        if not archives:
            return result
        try:
            described = self._ask_node(task_vars)
        except CheckpointError as error:
            described = {
                "node": {},
                "archives": [],
                "failures": [{**error.as_dict(), "path": a["path"]} for a in archives],
            }
        result["node"] = described["node"]
        on_node = {archive["path"]: archive for archive in described["archives"]}
        refused = {failure["path"]: failure for failure in described["failures"]}
        names: set[str] = set()
        for archive in archives:
            path, name = archive["path"], archive.get("name")
            try:
                name = local_name(path, name)
                if name in names:
                    raise CheckpointError("name_taken", f"Two archives of this task would both be called {name}")
                names.add(name)
                if path in refused:
                    result["failures"].append(_failure(path, name, refused[path]))
                else:
                    result["archives"].append(self._fetch(name, on_node[path]))
            except CheckpointError as error:
                result["failures"].append(_failure(path, name, error.as_dict()))
        result["changed"] = any(archive["changed"] for archive in result["archives"])
        if result["failures"] and not self._options["ignore_failures"]:
            result.update(
                failed=True, code=result["failures"][0]["code"], msg=_message(result["failures"], len(archives))
            )
        return result

    def _ask_node(self, task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        """Run the module: what the archives and the node are, with the difference of the clocks worked out."""
        before = time.time()
        try:
            described = self._execute_module(
                module_name="checkpoint_restore.kubernetes.checkpoint_fetch",
                module_args=self._task.args.copy(),
                task_vars=task_vars,
            )
        except AnsibleConnectionFailure as error:
            if not self._options["ignore_failures"]:
                raise
            raise CheckpointError("node_unreachable", "The node cannot be reached", message=str(error)) from error
        except AnsibleError as error:
            raise CheckpointError("node_failed", "The node could not be asked", message=str(error)) from error
        after = time.time()
        # Not left to the end of the task, when the connection may be gone: that would make the host unreachable.
        self._remove_tmp_path(self._connection._shell.tmpdir)
        if "clock_last" not in described:
            # With ansible-core 2.17 the cause stands beside the message only.
            text = " ".join(str(described[key]).strip() for key in ("msg", "module_stderr") if described.get(key))
            raise CheckpointError("node_failed", "The module did not run on the node", message=text)
        # The module began after "before" and ended before "after": its two readings bound the difference.
        most, least = described["clock_first"] - before, described["clock_last"] - after
        described["node"].update(
            clock=utc(described["clock_first"], "microseconds"),
            clock_offset=round((most + least) / 2, 3),
            clock_offset_error=round((most - least) / 2, 3),
        )
        return described

    def _fetch(self, name: str, archive: dict[str, t.Any]) -> dict[str, t.Any]:
        """One archive's result."""
        wanted = Wanted(archive["path"], name, archive["size"], archive["sha256"])
        directory = os.path.abspath(self._options["destination"])
        entry = {
            "path": wanted.path,
            "destination": os.path.join(directory, name),
            "size": wanted.size,
            "node_sha256": wanted.sha256,
            **{key: archive[key] for key in ("mtime", "mode", "owner")},
        }
        nothing = {"fetched": None, "resumed_from": None, "duration": None, "way": None}
        if self._task.check_mode:
            here = is_here(directory, wanted)
            return {**entry, **nothing, "changed": not here, "sha256": wanted.sha256 if here else None}
        self._way: str | None = None
        receipt = receive(
            directory, wanted, lambda offset: self._read(wanted.path, wanted.size, offset), self._reporter(wanted)
        )
        entry.update(sha256=wanted.sha256, changed=receipt.changed)
        if not receipt.changed:
            return {**entry, **nothing}
        return {
            **entry,
            "fetched": utc(time.time(), "microseconds"),
            "resumed_from": receipt.resumed_from,
            "duration": receipt.duration,
            "way": self._way,
        }

    def _reporter(self, wanted: Wanted) -> t.Callable[[int], None]:
        """What is told how many bytes are here, and shows it every few seconds."""
        if not self._options["progress"] or self._task.no_log or self._play_context.no_log:
            return lambda _done: None
        begun = shown = time.monotonic()
        first: int | None = None

        def report(done: int) -> None:
            nonlocal shown, first
            first = done if first is None else first
            now = time.monotonic()
            if now - shown >= PROGRESS_SECONDS:
                shown = now
                speed = bytes_to_human((done - first) / (now - begun))
                share = 100 * done // wanted.size
                host = self._host
                display.display(f"{host}: {wanted.name} {share} % of {bytes_to_human(wanted.size)}, {speed}/s")

        return report

    def _read(self, path: str, size: int, offset: int) -> t.Generator[bytes, None, None]:
        """The archive's bytes from the offset: as one stream if this connection can, else block by block."""
        if self._can_stream():
            self._way = "ssh"
            # Ansible compresses its shared connection (ssh -C), which takes a core at 35 MB/s: it comes second.
            if (yield from self._streamed(path, offset, shared=False)):
                return
            if (yield from self._streamed(path, offset, shared=True)):
                return
        self._way = "exec"
        yield from self._blocks(path, size, offset)

    def _streamed(self, path: str, offset: int, *, shared: bool) -> t.Generator[bytes, None, bool]:
        """Whether the stream began at all."""
        try:
            yield from self._stream(path, offset, shared=shared)
        except NotStartedError as reason:
            display.vvv(f"no stream (shared connection: {shared}): {reason}", host=self._host)
            return False
        return True

    def _applicable_become(self) -> t.Any:
        """The become plugin if commands are to go through it: what ActionBase._low_level_execute_command decides."""
        become = self._connection.become
        login, user = self._get_remote_user(), self.get_become_option("become_user")
        if become and (constants.BECOME_ALLOW_SAME_USER or user != login or not any((login, user))):
            return become
        return None

    def _can_stream(self) -> bool:
        connection = self._connection
        if connection.transport != "ssh" or not hasattr(connection, "_build_command"):
            return False
        if connection.get_option("password") or self._play_context.password or connection.get_option("pkcs11_provider"):
            return False
        become = self._applicable_become()
        return become is None or logins.can_answer(become)

    def _stream(self, path: str, offset: int, *, shared: bool) -> t.Generator[bytes, None, None]:
        connection, become = self._connection, self._applicable_become()
        marker = secrets.token_hex(16)
        script = stream_script(path, offset, marker)
        script, prompt = logins.become_command(become, connection, self._play_context, script)
        remote = f"{self._play_context.executable} -c {shlex.quote(script)}"
        ssh = logins.ssh_command(connection, self._play_context, remote, shared=shared)
        try:
            yield from read_stream(ssh, marker, self._options["stall_timeout"], prompt)
        except CheckpointError as error:
            if error.code == "transfer_stalled":
                # The next attempt must not wait behind a shared connection (ControlPersist) that hangs.
                connection.reset()
            raise

    def _blocks(self, path: str, size: int, offset: int) -> t.Generator[bytes, None, None]:
        marker = secrets.token_hex(16)
        while offset < size:
            output = self._output_of(block_script(path, offset, EXEC_BLOCK_BYTES, marker))
            try:
                block = decode_block(output["stdout"], marker)
            except ValueError as error:
                text = output["stderr"].strip() or output["stdout"][:1000].strip() or str(error)
                raise CheckpointError(
                    "remote_read_failed", "Reading the archive on the node failed", message=text
                ) from error
            if not block:
                return
            yield block
            offset += len(block)

    def _output_of(self, script: str) -> dict[str, t.Any]:
        # At -vvv the ssh connection shows what a command printed unless its own play context says no_log: an archive.
        context = self._connection._play_context
        before, context.no_log = context.no_log, True
        try:
            return self._low_level_execute_command(script)
        except AnsibleConnectionFailure as error:
            raise CheckpointError(
                "transfer_cut", "The connection broke during the transfer", message=str(error)
            ) from error
        except AnsibleError as error:
            raise CheckpointError("remote_read_failed", "Reading the archive failed", message=str(error)) from error
        finally:
            context.no_log = before


def _failure(path: str, name: str | None, error: dict[str, t.Any]) -> dict[str, t.Any]:
    kept = {key: error[key] for key in ("code", "reason", "hint", "message")}
    return {"path": path, "name": name, **kept, "retryable": error["code"] in RETRYABLE}


def _message(failures: list[dict[str, t.Any]], attempted: int) -> str:
    first = failures[0]
    text = str(CheckpointError(first["code"], first["reason"], hint=first["hint"], message=first["message"]))
    return text if attempted == 1 else f"{len(failures)} of {attempted} archives did not arrive. The first: {text}"
