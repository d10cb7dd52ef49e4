# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes docs/docsite/rst/guide_failure_codes.rst from the table of failure codes.

PYTHONPATH=<the folder that ansible_collections is in> python tests/unit/plugins/module_utils/_kube/failure_guide.py
"""

from __future__ import annotations

import pathlib
import re
import textwrap

from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._kube.failures import CODES, Code, Sign

GUIDE = pathlib.Path(__file__).parents[5] / "docs" / "docsite" / "rst" / "guide_failure_codes.rst"
HEAD = """\
..
  Copyright (c) 2026, checkpoint_restore.kubernetes contributors
  GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
  SPDX-License-Identifier: GPL-3.0-or-later

.. _ansible_collections.checkpoint_restore.kubernetes.docsite.guide_failure_codes:

Failure codes
=============

Every entry in the ``failures`` that :ansplugin:`checkpoint_restore.kubernetes.kubelet_checkpoint#module` returns has a
``code``. The codes are stable: they can be used in conditions. The ``message`` beside it is the original text, which is
not.

``phase`` says how far it came: ``configure`` and ``select`` stand before anything was asked of a kubelet, ``connect``
and ``authorize`` before a container was touched, ``checkpoint`` for the work itself, ``schedule`` for what never had
its turn. A code is also found in the phase ``select`` when it is the API server that says so about pods or nodes.

``retryable`` says whether the same call may well work later. The module itself sends a request again, at most twice,
only where the text below says *sent again*: the request certainly did nothing then.

Several answers can lead to one code. Each is listed with where it was seen.

Every module that fails gives such a code. Those of other modules are in their own documentation, and those of a move in
:ref:`its guide <ansible_collections.checkpoint_restore.kubernetes.docsite.guide_migrate>`.
"""


def render() -> str:
    """The whole guide."""
    return HEAD + "".join(_section(code) for code in CODES)


def _section(code: Code) -> str:
    lines = [
        "",
        code.name,
        "-" * len(code.name),
        "",
        f"{code.reason}.",
        "",
        f"* Phase: ``{code.phase}``",
        f"* Retryable: {'yes' if code.retryable else 'no'}",
        *_wrapped(f"* What to do: {_literal(code.hint)}."),
    ]
    for sign in code.signs:
        lines += _wrapped(f"* {_sign(sign)}")
    if not code.signs:
        lines.append("* Found out by the module itself.")
    return "\n".join(lines) + "\n"


def _sign(sign: Sign) -> str:
    who = {"kubelet": "the kubelet", "apiserver": "the API server", "proxy": "the API server about the kubelet"}[
        sign.at
    ]
    if sign.transport:
        what = f"the connection to {who}: {sign.transport}"
    else:
        what = f"HTTP {sign.status} from {who}"
        if sign.pattern:
            what += f", ``{sign.pattern}``"
    again = ", sent again" if sign.repeat else ""
    text = f"Sign: {what}{again} (seen: {_literal(sign.seen)})"
    if sign.reason:
        text += f". {sign.reason}"
    if sign.hint:
        text += f". {_literal(sign.hint)}"
    return text + "."


def _literal(text: str) -> str:
    """Options, files and paths in ``text`` as literals."""
    return re.sub(r"(?<![`\w])((?:--)?\w*[_/]\w[\w./-]*\w(?:: \w+)?|via: \w+|\w+[.-]\w+\.(?:go|c))", r"``\1``", text)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 118, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    GUIDE.write_text(render(), encoding="utf-8")
