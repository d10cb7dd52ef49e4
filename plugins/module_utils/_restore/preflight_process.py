# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the processes of an archive bring along that a restore breaks, or that breaks a restore.

Sources: criu criu/sk-inet.c (inet_bind), criu/sk-tcp.c (tcp-close), criu/tty.c, 4.2.1.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import collections
import ipaddress
import typing as t

from .._archive.notes import Notes
from .._common.errors import CheckpointError
from .._criu import sockets
from .._criu.files import INET
from .._criu.image_types import BY_PREFIX
from .._criu.images import Images
from .._criu.wire import Fields, number
from . import rootfs
from .preflight_base import Node, Subject, Verdict, Wanted, failed, mapping, objects, passed, some, warning
from .repairs import connected
from .unpack import check_pages, check_tmpfs


def images(subject: Subject, _node: Node, _wanted: Wanted) -> t.Iterator[Verdict]:
    """What the restore runtime looks at before it asks CRIU: a restore from less would fail, or go on for ever."""
    folder = subject.archive.image_folder()
    if subject.archive.tree.get(f"{folder}/parent" if folder else "parent") is not None:
        yield failed("images", "The images are those of an incremental dump, and need the dump before them as well")
        return
    # With notes of their own: what other checks did not find is no reason.
    fresh = Images(subject.archive.images(folder or ""), Notes())
    try:
        cut = next((name for name, member in sorted(subject.members.items()) if not member.complete), None)
        if cut is not None:
            raise CheckpointError("images_damaged", f"The archive is cut short within {cut}")
        _read_all(fresh)
        check_pages(fresh)
        check_tmpfs(fresh)
        rootfs.wanted(subject.archive)
    except CheckpointError as error:
        yield failed("images", error.reason, error.hint or "Fetch the archive again, or checkpoint again")
        return
    yield passed("images", f"All {len(subject.members)} images are there")


def _read_all(found: Images) -> None:
    """Read every entry of every image, so that the notes tell of each that is damaged."""
    for prefix in BY_PREFIX:
        for identifier in found.ids(prefix):
            collections.deque(found.each(prefix, identifier), maxlen=0)


def terminal(subject: Subject, _node: Node, wanted: Wanted) -> t.Iterator[Verdict]:
    hint = "Checkpoint and restore without tty in the pod"
    if mapping(subject.spec.get("process")).get("terminal") is True:
        yield failed("terminal", "The container had a terminal, which cannot be restored", hint)
    elif container_of(wanted.definition, subject.container).get("tty") is True:
        yield failed("terminal", "The new pod asks for a terminal, the container that was dumped had none", hint)
    else:
        yield passed("terminal", "The container has no terminal")


def container_of(definition: t.Mapping[str, t.Any], name: str) -> dict[str, t.Any]:
    """The container of this name in a pod document; empty where there is none."""
    spec = mapping(definition.get("spec"))
    found = [*objects(spec.get("containers")), *objects(spec.get("initContainers"))]
    return next((one for one in found if one.get("name") == name), {})


def _inet(subject: Subject) -> t.Iterator[Fields]:
    return (fields for kind, _identifier, fields in subject.checkpoint.files.items() if kind == INET)


def _shown(fields: Fields, which: str, port: str) -> str:
    found = sockets.address(fields.get(which), number(fields, "family"))
    return f"{'[' + found + ']' if found and ':' in found else found or '*'}:{number(fields, port)}"


def connections(subject: Subject, _node: Node, _wanted: Wanted) -> t.Iterator[Verdict]:
    found = sorted(
        f"{_shown(fields, 'src_addr', 'src_port')} to {_shown(fields, 'dst_addr', 'dst_port')}"
        for fields in _inet(subject)
        if connected(fields)
    )
    if found:
        yield warning(
            "connections",
            f"The processes have {len(found)} TCP connections, which will be closed: {some(found)}",
            "Programs that do not connect again by themselves have to be told to",
        )
    else:
        yield passed("connections", "The processes have no TCP connection")


def _own(fields: Fields) -> t.Optional[str]:
    """The address that a socket is bound to, where it is one of a pod or node; None for all and for loopback."""
    words = fields.get("src_addr")
    if not number(fields, "src_port") or mapping(fields.get("ip_opts")).get("freebind"):
        return None
    shown = sockets.address(words, number(fields, "family"))
    try:
        found = ipaddress.ip_address(shown or "")
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)
    found = mapped if mapped is not None else found
    return None if found.is_unspecified or found.is_loopback else str(found)


def addresses(subject: Subject, _node: Node, wanted: Wanted) -> t.Iterator[Verdict]:
    """CRIU binds every socket that is no TCP connection to the address that it had."""
    bound = ((_own(fields), number(fields, "src_port")) for fields in _inet(subject) if not connected(fields))
    found = sorted(f"{address} port {port}" for address, port in bound if address is not None)
    if not found:
        yield passed("addresses", "No socket is bound to an address of the old pod")
        return
    reason = f"The processes have sockets bound to {some(found)}, which the new pod does not have"
    hint = "Let the program listen on all addresses (0.0.0.0 or ::), then checkpoint again"
    if mapping(wanted.definition.get("spec")).get("hostNetwork") is True:
        yield warning("addresses", reason.replace("the new pod does", "this node may"), hint)
    else:
        yield failed("addresses", reason, hint)
