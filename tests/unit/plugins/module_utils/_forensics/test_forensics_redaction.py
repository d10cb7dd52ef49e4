# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as a secret, and that nothing of it is shown."""

from __future__ import annotations

import json

import pytest
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics import redaction
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.redaction import MASK
from ansible_collections.checkpoint_restore.kubernetes.plugins.module_utils._forensics.secrets import is_secret_name

TOKEN = "ghp_" + "a1B2" * 9
WEB_TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"
KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    "name",
    [
        "PASSWORD",
        "DB_PASS",
        "PGPASSWORD",
        "MYSQL_PWD",
        "LEDGER_SECRET",
        "SECRET_KEY_BASE",
        "API_KEY",
        "apiKey",
        "X-Auth-Token",
        "GITHUB_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "storageAccountKey",
        "REDIS_AUTH",
        "SESSION_COOKIE",
        "JWT",
        "service.credentials",
        "--password",
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "PATH",
        "PWD",
        "OLDPWD",
        "SSH_AUTH_SOCK",
        "PASSWORD_FILE",
        "TOKEN_TTL",
        "SECRET_NAME",
        "AUTH_URL",
        "TOKENIZERS_PARALLELISM",
        "COMPASS",
        "AUTHOR",
        "KEYBOARD",
        "KUBERNETES_SERVICE_HOST",
        "123",
    ],
)
def test_names_of_something_else(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        ("DB_PASSWORD=hunter2", f"DB_PASSWORD={MASK}"),
        ("DB_PASSWORD=", "DB_PASSWORD="),
        ("USE_TOKEN=false", "USE_TOKEN=false"),
        ("PATH=/usr/bin:/bin", "PATH=/usr/bin:/bin"),
        ("URL=postgres://user:p@ss/w:rd@db:5432/shop", f"URL=postgres://user:{MASK}@db:5432/shop"),
        ("KUBERNETES_PORT=tcp://10.96.0.1:443", "KUBERNETES_PORT=tcp://10.96.0.1:443"),
        ("DSN=host=db password=hunter2 user=x", f"DSN=host=db password={MASK} user=x"),
        (f"ANYTHING={TOKEN}", f"ANYTHING={MASK}"),
        (f"ANYTHING={WEB_TOKEN}", f"ANYTHING={MASK}"),
        (f"ANYTHING=x {KEY} y", f"ANYTHING=x {MASK} y"),
        ("ANYTHING=AKIAIOSFODNN7EXAMPLE", f"ANYTHING={MASK}"),
        ("without an equals sign", "without an equals sign"),
    ],
)
def test_variables(entry: str, shown: str) -> None:
    assert redaction.variable(entry) == shown


def test_environment_by_mode() -> None:
    entries = ["A=1", "TOKEN=hunter2", "odd"]
    assert redaction.environment(entries, "names") == ["A", "TOKEN", "odd"]
    assert redaction.environment(entries, "redacted") == ["A=1", f"TOKEN={MASK}", "odd"]
    assert redaction.environment(entries, "full") == entries
    assert redaction.environment(None, "redacted") is None


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["mysqld", "--password", "hunter2", "-v"], ["mysqld", "--password", MASK, "-v"]),
        (["mysqld", "--password=hunter2"], ["mysqld", f"--password={MASK}"]),
        (["x", "--token", "--next"], ["x", "--token", "--next"]),
        (["env", "API_KEY=hunter2", "app"], ["env", f"API_KEY={MASK}", "app"]),
        (["sh", "-c", "curl --token hunter2 http://h/"], ["sh", "-c", f"curl --token {MASK} http://h/"]),
        (["curl", "-H", "Authorization: Token hunter2"], ["curl", "-H", f"Authorization: {MASK}"]),
        (["nginx", "-g", "daemon off;"], ["nginx", "-g", "daemon off;"]),
    ],
)
def test_arguments(arguments: list[str], shown: list[str]) -> None:
    assert redaction.arguments(arguments, "redacted") == shown
    assert redaction.arguments(arguments, "names") == shown
    assert redaction.arguments(arguments, "full") == arguments


def test_documents() -> None:
    document = {
        "process": {"env": ["PATH=/bin", "TOKEN=hunter2"], "args": ["app", "--password", "hunter2"]},
        "annotations": {
            "note": "plain",
            "client_secret": "hunter2",
            "applied": json.dumps({"env": [{"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "A", "value": "b"}]}),
        },
        "env": [{"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "A", "value": "kept"}],
        "number": 5,
        "nothing": None,
    }
    shown = redaction.document(document, "redacted")
    assert "hunter2" not in json.dumps(shown)
    assert shown["process"]["env"] == ["PATH=/bin", f"TOKEN={MASK}"]
    assert shown["env"][1] == {"name": "A", "value": "kept"}
    assert (shown["annotations"]["note"], shown["number"], shown["nothing"]) == ("plain", 5, None)
    assert redaction.document(document, "names")["process"]["env"] == ["PATH", "TOKEN"]
    assert redaction.document(document, "full") == document


def test_bytes_that_are_no_text_stay_as_they_are() -> None:
    assert redaction.variable("A=\udcff\udc80") == "A=\udcff\udc80"
    assert redaction.text("\ud800") is not None


def test_documents_without_end() -> None:
    deep: object = "x"
    for _level in range(5000):
        deep = [deep, 1]
    assert MASK in json.dumps(redaction.document(deep, "redacted"))


def test_long_texts_are_masked_as_a_whole() -> None:
    assert redaction.text("x" * (redaction.MAX_TEXT + 1)) == MASK
