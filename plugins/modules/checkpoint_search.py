#!/usr/bin/python
# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_search
short_description: Search everything in a checkpoint
version_added: 1.0.0
author:
  - checkpoint_restore.kubernetes contributors (@checkpoint-restore)
description:
  - Looks for texts, bytes and regular expressions in the memory of every process, shared memory, memfds, deleted files,
    the queues of pipes, sockets and terminals, System V messages, the files of tmpfs mounts, files that were changed
    since the image and their names, logs, the specification, and all other images and members of the archive.
  - Texts are found in UTF-8 and UTF-16, also where they lie across two pages. Nothing is unpacked, and memory use does
    not depend on the size of the checkpoint.
  - Can write a range of memory, a memory area or a file of the checkpoint to a file of its own.
extends_documentation_fragment:
  - checkpoint_restore.kubernetes._attributes
  - checkpoint_restore.kubernetes._registry
attributes:
  check_mode:
    support: full
    details:
      - Searches as always, and says what O(export) would write without writing it.
  diff_mode:
    support: none
  idempotent:
    support: partial
    details:
      - A search changes nothing. O(export) refuses to write over a file that is there.
  platform:
    support: full
    platforms: posix
options:
  path:
    description:
      - The archive. Also a folder that it was unpacked to, or an OCI image that holds one.
      - With C(docker://) and the name of an image, that image in its registry. A search fetches nearly all of it, and
        more than once if its layer is compressed.
    type: path
    required: true
  literals:
    description:
      - Texts to look for, exactly as they are. Found in UTF-8 and, from two characters on, in UTF-16 of both byte
        orders.
    type: list
    elements: str
  hex:
    description:
      - Bytes to look for, as hexadecimal digits. Spaces and colons between bytes do not matter.
    type: list
    elements: str
  regexes:
    description:
      - Regular expressions of Python, over bytes. C(\xNN) is a byte. A letter beyond ASCII is the bytes of its UTF-8,
        and therefore does not belong between brackets.
      - What matches ASCII text finds the same text in UTF-16, from four characters on.
      - A match is cut after 16 KiB. C(^) and C($) without the flag C((?m\)) have no use, because memory has no lines of
        its own.
      - An expression that takes more than five seconds of processor time for 256 KiB is given up.
        RV(patterns[].complete) is then V(false), and RV(notes) says so.
    type: list
    elements: str
  sets:
    description:
      - Ready sets of patterns.
      - V(credentials) are assignments to names that sound like a secret, URLs with a password, authorization headers,
        JSON web tokens, keys and tokens of well known services, and password hashes.
      - V(urls) are URLs of every scheme.
      - V(ip_addresses) are IPv4 and IPv6 addresses as text.
      - V(private_keys) are private keys as PEM, whole or cut, as DER, and of OpenSSH, PuTTY and age.
      - V(cards) are numbers of payment cards whose issuer, length and check digit are right.
    type: list
    elements: str
    choices: [credentials, urls, ip_addresses, private_keys, cards]
  pid:
    description:
      - Search only what belongs to these processes, by their PIDs within the container. That is their memory and
        whatever they have mapped or open that the checkpoint holds the bytes of.
    type: list
    elements: int
  ignore_case:
    description:
      - Whether O(literals) and O(regexes) match in upper and lower case. In O(regexes) this is about ASCII letters.
    type: bool
    default: false
  limit:
    description:
      - How many hits of each pattern to return. All are counted.
    type: int
    default: 100
  context:
    description:
      - How many bytes to show before and behind each hit, 4096 at most.
    type: int
    default: 32
  export:
    description:
      - A part of the checkpoint to write to a new file with mode V(0600). What the archive does not have is written as
        zeros, and RV(exported.gaps) says where.
    type: dict
    suboptions:
      dest:
        description:
          - The file to write. It gets its name when it is whole. A file that is there is never overwritten.
        type: path
        required: true
      pid:
        description: The process whose memory to take, needed with O(export.start) and O(export.area).
        type: int
      start:
        description: The address at which a range begins, as V(0x7ffd1000) or as a decimal number.
        type: str
      size:
        description: The size of the range in bytes.
        type: int
      area:
        description: An area, by any address within it, or by its name where only one has it, as V([heap]).
        type: str
      file:
        description: A file or something else with bytes, by its name in RV(hits[].file).
        type: str
      place:
        description: Its place as in RV(hits[].place), where O(export.file) alone means more than one thing.
        type: str
notes:
  - Hits hold what was found, secrets included, and Ansible shows and logs results. Use C(no_log) where that matters.
  - Pages that were never changed since they were mapped from a file are not in a checkpoint. Look for them in the image
    of the container.
seealso:
  - module: checkpoint_restore.kubernetes.checkpoint_inspect
  - module: checkpoint_restore.kubernetes.checkpoint_diff
"""

EXAMPLES = r"""
---
- name: Find out where a leaked password is kept
  checkpoint_restore.kubernetes.checkpoint_search:
    path: /var/lib/kubelet/checkpoints/checkpoint-web-0_shop-web-2026-11-21T09:18:00Z.tar
    literals:
      - "{{ leaked_password }}"
    context: 0
  no_log: true
  register: found

- name: Look for credentials and private keys in two processes
  checkpoint_restore.kubernetes.checkpoint_search:
    path: ./evidence/checkpoint.tar
    sets: [credentials, private_keys]
    pid: [1, 17]

- name: Look for a shell command whatever its case, and for the first bytes of a program
  checkpoint_restore.kubernetes.checkpoint_search:
    path: ./evidence/checkpoint.tar
    literals: ["curl -s http://"]
    regexes: ['/bin/(?:ba)?sh -[a-z]*c ']
    hex: ["7f 45 4c 46 02 01 01"]
    ignore_case: true
    limit: 20

- name: Keep the executable memory of an injected library
  checkpoint_restore.kubernetes.checkpoint_search:
    path: ./evidence/checkpoint.tar
    export:
      dest: ./evidence/injected.bin
      pid: 17
      area: "0x7f3a5c000000"

- name: Keep a file that was deleted while it was open
  checkpoint_restore.kubernetes.checkpoint_search:
    path: ./evidence/checkpoint.tar
    export:
      dest: ./evidence/dropper
      file: /tmp/.x/dropper (deleted)
"""

RETURN = r"""
identity:
  description: Which container this is, in the shape of M(checkpoint_restore.kubernetes.checkpoint_info).
  type: dict
  returned: success
  sample:
    namespace: shop
    pod: web-0
    container: web
hits:
  description:
    - What was found. First in the memory of processes, by PID and address, then elsewhere, by place, name and offset.
    - Of each pattern the first ones in the order in which the archive has them, O(limit) at most.
  type: list
  elements: dict
  returned: success
  contains:
    pattern:
      description: The text, the digits or the expression that was asked for, or the name of a pattern in a set.
      type: str
      sample: assignment
    kind:
      description: What the pattern is. One of V(literal), V(hex), V(regex) and V(set).
      type: str
      sample: set
    set:
      description: The set that the pattern is from, else V(null).
      type: str
      sample: credentials
    encoding:
      description: V(utf-8), which stands for every text of single bytes, V(utf-16le), V(utf-16be), or V(bytes).
      type: str
      sample: utf-8
    place:
      description:
        - Where it is. V(memory), V(shared_memory), V(memfd), V(sysv_shared_memory), V(deleted_file), V(pipe), V(fifo),
          V(socket_queue), V(tcp_received), V(tcp_unsent), V(terminal), V(sysv_message), V(tmpfs_file),
          V(changed_file) for a file in the difference to the image, V(file_names) for the names of those, V(log),
          V(specification), V(image) for any other image of CRIU, and V(other_file).
      type: str
      sample: memory
    pid:
      description: The process whose memory it is, else V(null).
      type: int
      sample: 1
    process:
      description: The name of this process.
      type: str
      sample: nginx
    area:
      description: The memory area, else V(null). V(null) in memory, too, where no area has the address.
      type: dict
      contains:
        start:
          description: Its first address.
          type: str
          sample: "0x7ffd4f1de000"
        end:
          description: The address behind its last.
          type: str
          sample: "0x7ffd4f1ff000"
        size:
          description: Its size in bytes.
          type: int
          sample: 135168
        permissions:
          description: As in C(/proc/PID/maps).
          type: str
          sample: rw-p
        kind:
          description: What it is, for example V(heap), V(stack), V(file) or V(anonymous).
          type: str
          sample: stack
        name:
          description: The file that is mapped, or the kind in brackets, or nothing.
          type: str
          sample: "[stack]"
        offset:
          description: Where in the file it begins.
          type: int
          sample: 0
        flags:
          description: Flags of the mapping.
          type: list
          elements: str
          sample: [anonymous, growsdown]
        advice:
          description: What the program told the kernel with madvise.
          type: list
          elements: str
          sample: []
    address:
      description: The address of the first byte in the memory of the process, else V(null).
      type: str
      sample: "0x7ffd4f1fdf83"
    file:
      description: The path or name of what holds the bytes. In memory the file that is mapped there, or V(null).
      type: str
      sample: /tmp/report.txt (deleted)
    offset:
      description: The offset of the first byte in RV(hits[].file), V(null) where there is none.
      type: int
      sample: 4096
    compression:
      description: How the file is compressed, where the offset counts what was unpacked. Else V(null).
      type: str
      sample: gzip
    held_by:
      description: The processes that have it open or mapped, outside V(memory).
      type: list
      elements: dict
      contains:
        pid:
          description: The process.
          type: int
          sample: 1
        fd:
          description: The descriptor, V(null) for a mapping.
          type: int
          sample: 5
        address:
          description: The address of the mapping, V(null) for a descriptor.
          type: str
          sample: "0x7f8a7e30b000"
    size:
      description: How many bytes match.
      type: int
      sample: 37
    match:
      description: What matches, as text.
      type: str
      sample: LEDGER_SECRET=planted-for-the-archive
    context:
      description: The bytes that match and those around them.
      type: dict
      contains:
        before:
          description: How many bytes stand before those that match.
          type: int
          sample: 32
        hex:
          description: All bytes as hexadecimal digits.
          type: str
          sample: 484f4d453d2f00
        text:
          description: The same for the eye, with a dot for everything that cannot be shown.
          type: str
          sample: HOME=/.
patterns:
  description: What was looked for, and how often it was found.
  type: list
  elements: dict
  returned: success
  contains:
    pattern:
      description: As in RV(hits[].pattern).
      type: str
      sample: assignment
    kind:
      description: As in RV(hits[].kind).
      type: str
      sample: set
    set:
      description: As in RV(hits[].set).
      type: str
      sample: credentials
    hits:
      description: How often it is there.
      type: int
      sample: 2310
    shown:
      description: How many of these are in RV(hits).
      type: int
      sample: 100
    complete:
      description: V(false) if the search for it was given up because it took too long.
      type: bool
      sample: true
searched:
  description: What was searched. Nothing if only O(export) was given.
  type: dict
  returned: success
  contains:
    bytes:
      description: How many bytes.
      type: int
      sample: 1086423040
    missing:
      description: Bytes of memory that belong to the checkpoint and are not in the archive.
      type: int
      sample: 0
    places:
      description: The same by RV(hits[].place), with C(count) and C(bytes) of each.
      type: dict
      sample:
        memory:
          count: 4
          bytes: 1085112320
exported:
  description: What was written, or in check mode what would be.
  type: dict
  returned: success and O(export) is given
  contains:
    path:
      description: The file.
      type: str
      sample: ./evidence/dropper
    size:
      description: Its size in bytes.
      type: int
      sample: 18328
    sha256:
      description: Its digest, V(null) in check mode.
      type: str
      sample: 5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9
    gaps:
      description: What the archive does not have, as a list of C(offset), C(size) and C(why). Empty for a file.
      type: list
      elements: dict
      sample:
        - offset: 4096
          size: 8192
          why: file
    pid:
      description: The process whose memory it is, else V(null).
      type: int
      sample: 17
    start:
      description: The address of the first byte, else V(null).
      type: str
      sample: "0x7f3a5c000000"
    area:
      description: The area as in RV(hits[].area), if O(export.area) was given.
      type: dict
    place:
      description: As in RV(hits[].place).
      type: str
      sample: deleted_file
    file:
      description: Its name in the checkpoint, V(null) for memory.
      type: str
      sample: /tmp/.x/dropper (deleted)
notes:
  description: What was odd in the archive or could not be searched. Each is a warning of the task as well.
  type: list
  elements: dict
  returned: success
  contains:
    code:
      description: Stable name of the reason, for example V(pages_cut), V(image_damaged) or V(regex_too_slow).
      type: str
      sample: pages_cut
    text:
      description: The reason in plain words.
      type: str
      sample: Pages lie behind the end of the image
    where:
      description: The member, the file or the pattern that it is about. Empty for the archive as a whole.
      type: str
      sample: pages-1.img
escaped:
  description:
    - The places in this result whose text is not UTF-8. There each such byte is C(\xNN), and each backslash is doubled.
  type: list
  elements: str
  returned: success
  sample: ["hits[3].match"]
code:
  description:
    - "Stable name of the reason: V(archive_unreadable), V(archive_not_tar), V(archive_damaged), V(zstd_missing),
      V(image_unreadable), V(not_a_checkpoint), V(process_missing), V(literal_invalid), V(hex_invalid),
      V(regex_invalid), V(limit_invalid), V(context_invalid), V(export_invalid), V(area_missing), V(file_missing),
      V(file_ambiguous), V(range_too_large), V(destination_exists), V(destination_full), V(destination_unsafe) or
      V(destination_refused)."
    - Of an image in a registry also V(image_missing), and the codes of
      M(checkpoint_restore.kubernetes.checkpoint_image) about names, credentials and registries.
  returned: failure
  type: str
  sample: process_missing
reason:
  description: What happened, in plain words.
  returned: failure
  type: str
  sample: The checkpoint has no process 99
hint:
  description: What to do next. May be empty.
  returned: failure
  type: str
  sample: Processes are named by their PID within the container
message:
  description: The original text of whatever refused. May be empty.
  returned: failure
  type: str
  sample: ""
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.export import search_and_export
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.search import Query
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.arguments import (
    REGISTRY_EXCLUSIVE,
    REGISTRY_SPEC,
    REGISTRY_TOGETHER,
    opener,
)

SETS = ["credentials", "urls", "ip_addresses", "private_keys", "cards"]


def main() -> None:
    strings: dict[str, t.Any] = {"type": "list", "elements": "str"}
    exported = {
        "dest": {"type": "path", "required": True},
        "pid": {"type": "int"},
        "start": {"type": "str"},
        "size": {"type": "int"},
        "area": {"type": "str"},
        "file": {"type": "str"},
        "place": {"type": "str"},
    }
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "literals": strings,
            "hex": strings,
            "regexes": strings,
            "sets": {**strings, "choices": SETS},
            "pid": {"type": "list", "elements": "int"},
            "ignore_case": {"type": "bool", "default": False},
            "limit": {"type": "int", "default": 100},
            "context": {"type": "int", "default": 32},
            "export": {
                "type": "dict",
                "options": exported,
                "mutually_exclusive": [("start", "area", "file")],
                "required_one_of": [("start", "area", "file")],
                "required_by": {"start": ("pid", "size"), "area": ("pid",), "place": ("file",)},
            },
            **REGISTRY_SPEC,
        },
        required_together=REGISTRY_TOGETHER,
        mutually_exclusive=REGISTRY_EXCLUSIVE,
        required_one_of=[("literals", "hex", "regexes", "sets", "export")],
        supports_check_mode=True,
    )
    params = module.params
    query = Query(
        **{name: params[name] or () for name in ("literals", "hex", "regexes", "sets")},
        pids=params["pid"] or (),
        ignore_case=params["ignore_case"],
        limit=params["limit"],
        context=params["context"],
    )
    try:
        result = search_and_export(
            params["path"], query, params["export"], check=module.check_mode, opened=opener(params)
        )
    except CheckpointError as error:
        module.fail_json(msg=str(error), **error.as_dict())
    for note in result["notes"]:
        module.warn(f"{note['text']} ({note['where']})" if note["where"] else note["text"])
    module.exit_json(changed="exported" in result, **result)


if __name__ == "__main__":
    main()
