# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets: addresses, states, options, and what waits in their queues.

Sources: criu images/sk-inet.proto, sk-unix.proto, sk-netlink.proto, packet-sock.proto, sk-opts.proto,
tcp-stream.proto; criu/sk-inet.c, criu/sk-queue.c, criu/sk-tcp.c, 4.2.1.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

import ipaddress
import struct
import typing as t

from .images import Blob, Images
from .names import (
    NETLINK_PROTOCOLS,
    NETLINK_STATES,
    PROTOCOLS,
    SHUTDOWN,
    SOCKET_FAMILIES,
    SOCKET_TYPES,
    TCP_STATES,
    named,
)
from .wire import Fields, number, text

OPTIONS: dict[str, str] = {
    "reuseaddr": "reuse_address",
    "so_reuseport": "reuse_port",
    "so_broadcast": "broadcast",
    "so_keepalive": "keepalive",
    "so_passcred": "pass_credentials",
    "so_passsec": "pass_security",
    "so_dontroute": "dont_route",
    "so_no_check": "no_check",
    "so_oobinline": "oob_inline",
}
"""Options that are on or off, by the field's name."""

VALUES: dict[str, str] = {
    "so_sndbuf": "send_buffer",
    "so_rcvbuf": "receive_buffer",
    "so_priority": "priority",
    "so_mark": "mark",
    "so_linger": "linger",
    "so_rcvlowat": "receive_low_water",
    "tcp_keepcnt": "keepalive_count",
    "tcp_keepidle": "keepalive_idle",
    "tcp_keepintvl": "keepalive_interval",
}
"""Options with a number, by the field's name."""


End = tuple[str, int]
"""Address and port of one end of a connection."""

MAPPED = "::ffff:"


def address(words: t.Any, family: int, *, big_endian: bool = False) -> t.Optional[str]:
    """An address from its 32-bit words, each network order read as a number of the dumped machine."""
    if not isinstance(words, list) or not words:
        return None
    raw = struct.pack(f"{'>' if big_endian else '<'}{len(words)}I", *(word & 0xFFFFFFFF for word in words))
    if family == 10 and len(raw) == 16:
        found = ipaddress.IPv6Address(raw)
        # Written in one way by all versions of Python.
        return f"::ffff:{found.ipv4_mapped}" if found.ipv4_mapped is not None else str(found)
    return str(ipaddress.IPv4Address(raw[:4])) if len(raw) == 4 or family == 2 else raw.hex()


def end(words: t.Any, family: int, port: int) -> End:
    """One end of a connection: its address, IPv4 as such also where it stands for it in IPv6, and its port."""
    shown = address(words, family) or "::"
    return (shown[len(MAPPED) :] if shown.startswith(MAPPED) and "." in shown else shown), port


def within(connections: t.Collection[tuple[End, End]]) -> list[tuple[End, End]]:
    """Those of which both ends are among them, by loopback addresses: they need nobody else to live on."""
    here = set(connections)
    return [(one, other) for one, other in connections if _is_loopback(one[0]) and (other, one) in here]


def _is_loopback(shown: str) -> bool:
    try:
        return ipaddress.ip_address(shown).is_loopback
    except ValueError:
        # Of an image with fewer words than an address has.
        return False


def options(fields: Fields) -> dict[str, t.Any]:
    """The options that are on, and the numbers that are set."""
    opts = fields.get("opts")
    if not isinstance(opts, dict):
        return {}
    found: dict[str, t.Any] = {name: True for key, name in OPTIONS.items() if opts.get(key)}
    found.update({name: opts[key] for key, name in VALUES.items() if opts.get(key)})
    if opts.get("so_bound_dev"):
        found["bound_device"] = opts["so_bound_dev"]
    if opts.get("so_filter"):
        found["filter_instructions"] = len(opts["so_filter"])
    tcp = fields.get("tcp_opts")
    if isinstance(tcp, dict):
        found.update({key: True for key in ("cork", "nodelay") if tcp.get(key)})
    ip = fields.get("ip_opts")
    if isinstance(ip, dict):
        found.update({key: ip[key] for key in ("freebind", "pktinfo", "tos", "ttl") if ip.get(key)})
    return found


class Queues:
    """What waits in sockets: datagrams and unix streams (sk-queues), and TCP (tcp-stream-INODE)."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._by_id: t.Optional[dict[int, list[tuple[Blob, bool]]]] = None

    def _packets(self) -> dict[int, list[tuple[Blob, bool]]]:
        if self._by_id is None:
            self._by_id = {}
            for entry in self._images.each("sk-queues"):
                packets = self._by_id.setdefault(number(entry.fields, "id_for"), [])
                packets.append((entry.blobs["data"], bool(entry.fields.get("scm"))))
        return self._by_id

    def packets(self, identifier: int) -> list[Blob]:
        """Packets that wait to be read, by the socket's ID."""
        return [blob for blob, unused_rights in self._packets().get(identifier, [])]

    def carries_descriptors(self, identifier: int) -> bool:
        """Whether a waiting packet carries descriptors (SCM_RIGHTS)."""
        return any(rights for unused_blob, rights in self._packets().get(identifier, []))

    def ids(self) -> list[int]:
        return sorted(self._packets())

    def stream(self, inode: int) -> tuple[Fields, dict[str, Blob]]:
        """The TCP state by the socket's inode, and blobs "received" and "unsent"; empty where there is none."""
        for entry in self._images.each("tcp-stream", f"{inode:x}"):
            return entry.fields, entry.blobs
        return {}, {}


def inet(fields: Fields, queues: Queues, *, big_endian: bool = False) -> dict[str, t.Any]:
    family, state = number(fields, "family"), number(fields, "state")
    result: dict[str, t.Any] = {
        "family": named(family, SOCKET_FAMILIES),
        "socket_type": named(number(fields, "type"), SOCKET_TYPES),
        "protocol": named(number(fields, "proto"), PROTOCOLS),
        "state": named(state, TCP_STATES),
        "local_address": address(fields.get("src_addr"), family, big_endian=big_endian),
        "local_port": number(fields, "src_port"),
        "remote_address": address(fields.get("dst_addr"), family, big_endian=big_endian),
        "remote_port": number(fields, "dst_port"),
        "inode": number(fields, "ino"),
        "namespace_id": fields.get("ns_id"),
        "interface": fields.get("ifname"),
        "ipv6_only": bool(fields.get("v6only")),
        "shutdown": named(number(fields, "shutdown"), SHUTDOWN),
        "options": options(fields),
    }
    if state == 10:
        result["backlog"] = number(fields, "backlog")
    packets = queues.packets(number(fields, "id"))
    if packets:
        result["receive_queue"] = sum(blob.size for blob in packets)
    stream = queues.stream(number(fields, "ino"))[0] if number(fields, "proto") == 6 else {}
    if stream:
        result["receive_queue"] = number(stream, "inq_len")
        result["send_queue"] = number(stream, "outq_len")
        result["tcp"] = {
            "receive_sequence": number(stream, "inq_seq"),
            "send_sequence": number(stream, "outq_seq"),
            "unsent": number(stream, "unsq_len"),
            "mss": number(stream, "mss_clamp"),
            "receive_window": number(stream, "rcv_wnd"),
            "send_window": number(stream, "snd_wnd"),
        }
    return result


def unix_name(raw: bytes) -> t.Optional[str]:
    """A path, or an abstract name with @ in front as ss writes it; None for a socket without a name."""
    if not raw:
        return None
    if raw[:1] == b"\0":
        return "@" + raw[1:].decode("utf-8", "surrogateescape")
    return raw.rstrip(b"\0").decode("utf-8", "surrogateescape")


def unix(fields: Fields, queues: Queues) -> dict[str, t.Any]:
    raw = fields.get("name", b"")
    state = number(fields, "state")
    identifier = number(fields, "id")
    packets = queues.packets(identifier)
    result: dict[str, t.Any] = {
        "socket_type": named(number(fields, "type"), SOCKET_TYPES),
        "state": named(state, TCP_STATES),
        "name": unix_name(raw if isinstance(raw, bytes) else b""),
        "folder": text(fields, "name_dir") or None,
        "deleted": bool(fields.get("deleted")),
        "inode": number(fields, "ino"),
        "peer_inode": number(fields, "peer") or None,
        "namespace_id": fields.get("ns_id"),
        "shutdown": named(number(fields, "shutdown"), SHUTDOWN),
        "options": options(fields),
        "receive_queue": sum(blob.size for blob in packets),
        "receive_packets": len(packets),
    }
    if state == 10:
        result["backlog"] = number(fields, "backlog")
    if queues.carries_descriptors(identifier):
        result["carries_descriptors"] = True
    return result


def netlink(fields: Fields) -> dict[str, t.Any]:
    groups = fields.get("groups")
    return {
        "protocol": named(number(fields, "protocol"), NETLINK_PROTOCOLS),
        "state": named(number(fields, "state"), NETLINK_STATES),
        "port_id": number(fields, "portid"),
        "groups": [word for word in groups if word] if isinstance(groups, list) else [],
        "peer_port_id": number(fields, "dst_portid"),
        "inode": number(fields, "ino"),
        "namespace_id": fields.get("ns_id"),
        "options": options(fields),
    }


def packet(fields: Fields) -> dict[str, t.Any]:
    protocol = number(fields, "protocol")
    return {
        "socket_type": named(number(fields, "type"), SOCKET_TYPES),
        # The field holds the number as it stands in the packet: network order.
        "protocol": f"{((protocol & 0xFF) << 8) | protocol >> 8 & 0xFF:#06x}",
        "interface_index": number(fields, "ifindex"),
        "namespace_id": fields.get("ns_id"),
        "options": options(fields),
    }
