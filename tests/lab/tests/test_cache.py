# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import pathlib
import subprocess
import threading
import time

import pytest
from labkit.cache import KEEP_DAYS, Cache, Recipe
from labkit.errors import LabError


def quiet(_text: str) -> None:
    pass


def make(**changes) -> Recipe:
    def build(tree: pathlib.Path, _say) -> dict[str, str]:
        (tree / "program").write_text("works")
        return {"thing": "1.0"}

    return Recipe(**{"name": "thing", "title": "a thing", "inputs": {"pin": 1}, "build": build, **changes})


def names(cache: Cache) -> list[str]:
    return sorted(path.name for path in cache.directory.iterdir() if not path.name.startswith(".lock"))


def test_built_part_is_found_with_its_versions(tmp_path):
    cache, recipe = Cache(tmp_path), make()
    assert not cache.has(recipe)
    cache.build(recipe, quiet)
    assert cache.has(recipe)
    assert (cache.tree(recipe) / "program").read_text() == "works"
    assert cache.versions(recipe) == {"thing": "1.0"}


def test_interrupted_build_leaves_no_part(tmp_path):
    def interrupted(tree: pathlib.Path, _say) -> dict[str, str]:
        (tree / "half").touch()
        raise KeyboardInterrupt

    cache, recipe = Cache(tmp_path), make(build=interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.build(recipe, quiet)
    assert not cache.has(recipe)
    assert names(cache) == []


def test_remains_of_a_killed_build_are_not_used(tmp_path):
    cache, recipe = Cache(tmp_path), make()
    remains = cache.directory / ".building-thing-1" / "tree"
    remains.mkdir(parents=True)
    (remains / "half").touch()
    cache.build(recipe, quiet)
    assert os.listdir(cache.tree(recipe)) == ["program"]
    assert names(cache) == [cache.tree(recipe).parent.name]


def test_digest_covers_everything_that_goes_in(tmp_path):
    pins = tmp_path / "go.sum"
    pins.write_text("a")
    first = make(files=(pins,))
    digests = {first.digest, make().digest, make(inputs={"pin": 2}).digest, make(name="other").digest}
    pins.write_text("b")
    digests.add(first.digest)
    assert len(digests) == 5


def test_two_runs_build_once(tmp_path):
    built, begun, said = [], threading.Event(), []

    def build(_tree: pathlib.Path, _say) -> dict[str, str]:
        built.append(1)
        begun.set()
        time.sleep(0.3)
        return {}

    recipe = make(build=build)
    runs = [threading.Thread(target=Cache(tmp_path).build, args=(recipe, said.append)) for _run in range(2)]
    runs[0].start()
    begun.wait(5)
    runs[1].start()
    for run in runs:
        run.join()
    assert built == [1]
    assert said == ["waiting for another run that builds thing"]


@pytest.mark.parametrize(
    ("days", "used", "kept"), [(0, False, True), (KEEP_DAYS + 1, False, False), (KEEP_DAYS + 1, True, True)]
)
def test_other_digests_go_when_nobody_needs_them(tmp_path, days, used, kept):
    cache, old, new = Cache(tmp_path), make(inputs={"pin": 0}), make()
    cache.build(old, quiet)
    program = cache.tree(old) / "sleep"
    program.write_bytes(pathlib.Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    running = subprocess.Popen([program, "60"]) if used else None
    try:
        before = time.time() - days * 86400
        os.utime(cache.tree(old).parent, (before, before))
        cache.build(new, quiet)
    finally:
        if running:
            running.kill()
            running.wait()
    assert cache.has(old) is kept
    assert cache.has(new)


def test_too_small_a_disk_is_one_line(tmp_path):
    with pytest.raises(LabError, match=r"^Building thing takes about 999999999 MB of disk; .* has \d+ MB free\.$"):
        Cache(tmp_path / "not" / "yet").require_room([make(megabytes=999999999)])
