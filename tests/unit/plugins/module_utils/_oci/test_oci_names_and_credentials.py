# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import json
import pathlib
import typing as t

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._common.errors import CheckpointError
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.connection import challenge
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.credentials import (
    Credentials,
    from_file,
    from_text,
)
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._oci.reference import parse_name

NAME = parse_name("quay.example.com:5000/team/web:1")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("registry.example.com/web:1", ("registry.example.com", "web", "1")),
        ("localhost/web", ("localhost", "web", "latest")),
        ("10.0.0.1:5000/a/b__c/d-e.f:v1.2_3-x", ("10.0.0.1:5000", "a/b__c/d-e.f", "v1.2_3-x")),
        ("[fd77::1]:5000/web:1", ("[fd77::1]:5000", "web", "1")),
    ],
)
def test_names(text: str, parts: tuple[str, str, str]) -> None:
    assert parse_name(text) == parts


def test_docker_hub_answers_elsewhere() -> None:
    assert parse_name("docker.io/library/web:1").host == "registry-1.docker.io"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "web:1",
        "team/web:1",
        "registry.example.com/",
        "registry.example.com/Web:1",
        "registry.example.com/web:",
        "registry.example.com/web@sha256:" + "0" * 64,
        "registry.example.com/../web:1",
        "registry.example.com/web:1\n",
        "registry.example.com/web:1\r\nX: y",
        "https://registry.example.com/web:1",
        "registry.example.com/" + "a" * 300,
        "user@registry.example.com/web:1",
    ],
)
def test_names_that_are_refused(text: str) -> None:
    with pytest.raises(CheckpointError) as refused:
        parse_name(text)
    assert refused.value.code == "name_invalid"


def coded(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


def found(auths: dict[str, t.Any], **more: t.Any) -> t.Optional[Credentials]:
    return from_text(json.dumps({"auths": auths, **more}), NAME, "authfile")


@pytest.mark.parametrize(
    ("auths", "user"),
    [
        ({"quay.example.com:5000": coded("a:b:c")}, ("a", "b:c")),
        ({"https://quay.example.com:5000/v1/": coded("a:b")}, ("a", "b")),
        ({"quay.example.com:5000": {"username": "a", "password": "b"}}, ("a", "b")),
        ({"quay.example.com:5000": coded("host:x"), "quay.example.com:5000/team": coded("a:b")}, ("a", "b")),
        ({"quay.example.com:5000": coded("a:b"), "quay.example.com:5000/tea": coded("other:x")}, ("a", "b")),
        ({"*.example.com:5000": coded("glob:x"), "quay.example.com:5000": coded("a:b")}, ("a", "b")),
        ({"*.example.com:5000": coded("a:b")}, ("a", "b")),
    ],
)
def test_the_entry_that_fits_best(auths: dict[str, t.Any], user: tuple[str, str]) -> None:
    given = found(auths)
    assert given is not None and (given.username, given.password) == user


@pytest.mark.parametrize(
    "auths",
    [
        {},
        {"quay.example.com": coded("a:b")},
        {"example.com:5000": coded("a:b")},
        {"*.com:5000": coded("a:b")},
        {"quay.example.com:5000/other": coded("a:b")},
        {"quay.example.com:5000": {}},
        {"quay.example.com:5000": "a:b"},
    ],
)
def test_entries_that_do_not_fit(auths: dict[str, t.Any]) -> None:
    assert found(auths) is None


def test_identity_tokens() -> None:
    entry = {**coded("a:"), "identitytoken": "long-lived"}
    assert found({"quay.example.com:5000": entry}) == Credentials("a", "", "long-lived")


@pytest.mark.parametrize("more", [{"credHelpers": {"quay.example.com:5000": "pass"}}, {"credsStore": "desktop"}])
def test_helpers_are_named_not_asked(more: dict[str, t.Any]) -> None:
    with pytest.raises(CheckpointError, match="credential helper") as refused:
        found({"quay.example.com:5000": {}}, **more)
    assert refused.value.code == "credentials_unusable"


@pytest.mark.parametrize(
    "text",
    [
        '{"auths": s3cret',
        "[]",
        "null",
        "s3cret",
        json.dumps({"auths": {"quay.example.com:5000": {"auth": "s3cret"}}}),
        json.dumps({"data": {".dockerconfigjson": "s3cret"}}),
        "[" * 100000,
    ],
)
def test_what_cannot_be_read_is_not_shown(text: str) -> None:
    with pytest.raises(CheckpointError) as refused:
        from_text(text, NAME, "pull_secret")
    assert refused.value.code == "credentials_unusable"
    assert "s3cret" not in f"{refused.value} {refused.value.as_dict()}"


def test_a_file_that_is_not_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        from_file(str(tmp_path / "none.json"), NAME)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Bearer realm="https://a/b",service="s,t"', ("bearer", {"realm": "https://a/b", "service": "s,t"})),
        ('Basic realm="x", Bearer realm="https://a"', ("bearer", {"realm": "https://a"})),
        ("basic", ("basic", {})),
        ("Negotiate", ("", {})),
        ("", ("", {})),
    ],
)
def test_challenges(header: str, expected: tuple[str, dict[str, str]]) -> None:
    assert challenge(header) == expected
