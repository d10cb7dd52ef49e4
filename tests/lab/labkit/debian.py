# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes from Debian: the nodes' root, the control plane's etcd and registry, CRIU's packages.

Everything is fetched from the mirror that the machine's own apt uses, by the machine's own apt, but with a
configuration of ours: nothing of /etc/apt or of the machine's package lists is changed.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pathlib
import re
import shutil
import tempfile
import typing as t

from .cache import Cache, Recipe
from .errors import LabError
from .machine import apt_get
from .run import Say, run

SUITE = "trixie"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# What a node is. No criu: installing it is the work of the collection's roles.
ROOT_PACKAGES = (
    "ca-certificates",
    "conmon",
    "containernetworking-plugins",
    "crun",
    "dbus",
    "iproute2",
    "iptables",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "python3-apt",
    "runc",
    "sudo",
    "systemd",
    "systemd-sysv",
)
# Documentation and translations; licences stay.
ROOT_EXCLUDED = tuple(f"/usr/share/{name}/*" for name in ("doc", "info", "lintian", "locale", "man"))
ROOT_KEPT = ("/usr/share/doc/*/copyright",)
# Per node, or none of a node's business: host keys, identity, the mirror, lists and logs of the making.
ROOT_EMPTIED = ("etc/machine-id", "etc/hostname", "etc/resolv.conf", "etc/apt/sources.list")
ROOT_REMOVED = (
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/apt/sources.list.d/*",
    "etc/ssh/ssh_host_*",
    "var/cache/apt/*.bin",
    "var/cache/debconf/*-old",
    "var/lib/apt/lists/*",
    "var/lib/dpkg/*-old",
    "var/lib/dbus/machine-id",
    "var/log/*.log",
    "var/log/apt",
)

INFRA_PACKAGES = ("etcd-server", "docker-registry")

# Before 4.2, CRIU fails for every socket on kernel 6.16 and later; Debian 13 has 4.1.1. The first later suite has it.
CRIU_PACKAGES = ("criu", "libcompel1", "libcriu2")
CRIU_NEEDED = (4, 2)
CRIU_SUITE = "testing"

PYTHON39_SUITE = "bullseye"
PYTHON39_PACKAGES = (
    "libbz2-1.0",
    "libffi7",
    "liblzma5",
    "libpython3.9-minimal",
    "libpython3.9-stdlib",
    "libreadline8",
    "libsqlite3-0",
    "libssl1.1",
    "libtinfo6",
    "libuuid1",
    "python3.9",
    "python3.9-minimal",
    "zlib1g",
)


@functools.cache
def mirror() -> str:
    """The address of the Debian archive that this machine's apt is configured with."""
    for attempt in range(2):
        wanted = "$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)"
        shown = run(["apt-get", "indextargets", "--format", wanted, "Created-By: Packages"])
        for line in shown.stdout.splitlines():
            origin, label, component, address = line.split("|", 3)
            if (origin, label, component) == ("Debian", "Debian", "main"):
                return address
        if attempt == 0 and os.geteuid() == 0:
            # Who publishes what is known from the lists; a fresh machine may have none yet.
            apt_get("update")
    raise LabError("This machine's apt knows no mirror of Debian (suite main, from which the lab's packages come).")


@functools.cache
def architecture() -> str:
    return run(["dpkg", "--print-architecture"]).stdout.strip()


def source(suite: str) -> str:
    """A line for sources.list: packages only, none of the other indexes that the machine's apt may want."""
    return f"deb [signed-by={KEYRING} target=Packages] {mirror()} {suite} main"


class Apt:
    """The machine's apt with lists, sources, preferences and archives of its own, in a directory of its own."""

    def __init__(
        self, directory: pathlib.Path, suites: t.Sequence[str], status: t.Optional[pathlib.Path] = None
    ) -> None:
        """``status`` is the dpkg status file of the system that apt works for; without it nothing is installed."""
        self.directory = directory
        self.archives = directory / "archives"
        for path in (self.archives / "partial", directory / "lists" / "partial"):
            path.mkdir(parents=True)
        self.preferences = directory / "preferences"
        empty = directory / "empty"
        for path in (self.preferences, empty):
            path.touch()
        (directory / "sources.list").write_text("".join(source(suite) + "\n" for suite in suites))
        settings = {
            "APT::Architecture": architecture(),
            "APT::Install-Recommends": "false",
            # The cache may be in a directory that only its owner can enter.
            "APT::Sandbox::User": "root",
            # The mirror may be a snapshot of some day. Signatures are checked all the same.
            "Acquire::Check-Valid-Until": "false",
            "Acquire::Languages": "none",
            "Dir::Cache": directory,
            "Dir::Cache::archives": self.archives,
            "Dir::Etc::preferences": self.preferences,
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::Etc::sourcelist": directory / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State": directory,
            "Dir::State::lists": directory / "lists",
            "Dir::State::status": status or empty,
        }
        self.configuration = directory / "apt.conf"
        self.configuration.write_text(
            # What the machine does after its own updates doesn't concern it.
            "#clear APT::Update;\n#clear DPkg::Post-Invoke;\n"
            + "".join(f'{name} "{value}";\n' for name, value in settings.items())
        )
        self.get("update")

    def get(self, *arguments: str) -> None:
        run(["apt-get", "-q", "--yes", "-c", self.configuration, *arguments], cwd=self.archives)

    def debs(self) -> list[pathlib.Path]:
        """What was downloaded."""
        return sorted(self.archives.glob("*.deb"))


def root_recipe() -> Recipe:
    def build(tree: pathlib.Path, _say: Say) -> dict[str, str]:
        options = ["--quiet", "--mode=root", "--variant=minbase", "--format=directory", *_proxies()]
        options += [f"--dpkgopt=path-exclude={path}" for path in ROOT_EXCLUDED]
        options += [f"--dpkgopt=path-include={path}" for path in ROOT_KEPT]
        options += [f"--include={','.join(ROOT_PACKAGES)}"]
        run(["mmdebstrap", *options, SUITE, str(tree), source(SUITE)])
        for pattern in ROOT_REMOVED:
            for path in tree.glob(pattern):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        for name in ROOT_EMPTIED:
            path = tree / name
            path.unlink(missing_ok=True)
            path.touch()
        wanted = [name for name in ROOT_PACKAGES if name not in ("ca-certificates", "dbus", "sudo", "systemd-sysv")]
        return {"debian": (tree / "etc/debian_version").read_text().strip(), **_installed_versions(tree, wanted)}

    inputs = {
        "suite": SUITE,
        "packages": ROOT_PACKAGES,
        "excluded": [ROOT_EXCLUDED, ROOT_KEPT],
        "cleaned": [ROOT_EMPTIED, ROOT_REMOVED],
    }
    return Recipe("root", f"root of the nodes: Debian {SUITE} by mmdebstrap", inputs, build, megabytes=800)


def _proxies() -> list[str]:
    """Proxies that the machine's apt is configured with, for mmdebstrap, which does not read that configuration."""
    dumped = run(["apt-config", "dump"]).stdout
    return [f"--aptopt={line}" for line in dumped.splitlines() if re.match(r"Acquire::\w+::Proxy", line)]


def _installed_versions(tree: pathlib.Path, names: t.Sequence[str]) -> dict[str, str]:
    command = ["dpkg-query", f"--admindir={tree / 'var/lib/dpkg'}", "--show", "--showformat", "${Package} ${Version}\n"]
    return dict(line.split() for line in run([*command, *names]).stdout.splitlines())


def infra_recipe() -> Recipe:
    title = f"etcd and registry of the control plane: packages of Debian {SUITE}"
    return _unpacked("infra", title, SUITE, INFRA_PACKAGES, megabytes=100)


def _unpacked(name: str, title: str, suite: str, packages: tuple[str, ...], megabytes: int) -> Recipe:
    """Packages that are only unpacked: they run from where they lie."""

    def build(tree: pathlib.Path, _say: Say) -> dict[str, str]:
        with tempfile.TemporaryDirectory(dir=tree.parent) as room:
            apt = Apt(pathlib.Path(room, "apt"), [suite])
            apt.get("download", *packages)
            for deb in apt.debs():
                run(["dpkg", "--extract", deb, tree])
            return _package_versions(apt.archives)

    return Recipe(name, title, {"suite": suite, "packages": packages}, build, megabytes=megabytes)


def _package_versions(directory: pathlib.Path) -> dict[str, str]:
    """Package -> version of the packages in a directory."""
    command = ["dpkg-deb", "--show", "--showformat", "${Package} ${Version}\n"]
    return dict(run([*command, deb]).stdout.split() for deb in sorted(directory.glob("*.deb")))


def criu_recipe(cache: Cache, root: Recipe) -> Recipe:
    """A repository with CRIU and what it needs beyond the nodes' root, tried by installing from it."""

    def build(tree: pathlib.Path, say: Say) -> dict[str, str]:
        for suite in (CRIU_SUITE, SUITE):
            try:
                _fetch_criu(suite, tree, cache.tree(root))
                version = _try_install(cache.tree(root), tree)
            except LabError as error:
                say(f"criu: {suite} has none that fits the nodes: {error}")
                continue
            if suite == SUITE or criu_is_new_enough(version):
                packages = {f"{name} (package)": text for name, text in _package_versions(tree).items()}
                return {**packages, "criu": version, "criu suite": suite}
            say(f"criu: {suite} has {version}, which is too old")
        raise LabError(f"Neither {CRIU_SUITE} nor {SUITE} has a criu that installs on the nodes.")

    inputs = {"packages": CRIU_PACKAGES, "needed": CRIU_NEEDED, "suites": [CRIU_SUITE, SUITE], "root": root.digest}
    return Recipe("debs", f"CRIU packages: from Debian {CRIU_SUITE}", inputs, build, megabytes=50)


def _fetch_criu(suite: str, tree: pathlib.Path, root: pathlib.Path) -> None:
    """The suite's CRIU, and what the nodes' root lacks for it, as a flat repository."""
    for old in tree.iterdir():
        old.unlink()
    with tempfile.TemporaryDirectory(dir=tree.parent) as room:
        apt = Apt(pathlib.Path(room, "apt"), list(dict.fromkeys([SUITE, suite])), root / "var/lib/dpkg/status")
        # Nothing that the nodes have is replaced where CRIU is content with it.
        apt.preferences.write_text(
            f"Package: *\nPin: release n={SUITE}\nPin-Priority: 900\n\n"
            f"Package: *\nPin: release a={suite}\nPin-Priority: 100\n"
        )
        apt.get("install", "--download-only", *(f"{name}/{suite}" for name in CRIU_PACKAGES))
        for deb in apt.debs():
            shutil.move(str(deb), tree)
    _write_index(tree)


def _write_index(directory: pathlib.Path) -> None:
    """``Packages``, which makes a directory of packages a flat repository."""
    entries = []
    for deb in sorted(directory.glob("*.deb")):
        control = run(["dpkg-deb", "--field", deb]).stdout.rstrip("\n")
        digest = hashlib.sha256(deb.read_bytes()).hexdigest()
        entries.append(f"{control}\nFilename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n")
    (directory / "Packages").write_text("\n".join(entries))


_INSTALL = """
set -e
# An overlay can't lie on an overlay, and a tmpfs is gone with the namespace.
mount -t tmpfs tmpfs "$3"
mkdir "$3/upper" "$3/work" "$3/root"
mount -t overlay overlay -o lowerdir="$1",upperdir="$3/upper",workdir="$3/work" "$3/root"
mkdir -p "$3/root/opt/debs"
mount --bind "$2" "$3/root/opt/debs"
mount -t proc proc "$3/root/proc"
mount --bind /dev "$3/root/dev"
chroot "$3/root" sh -ec '
    echo "deb [trusted=yes] file:/opt/debs ./" >/etc/apt/sources.list
    export DEBIAN_FRONTEND=noninteractive
    { apt-get -q update; apt-get -q install --yes criu; } >&2
    criu --version'
"""


def _try_install(root: pathlib.Path, repository: pathlib.Path) -> str:
    """Install criu in a throwaway copy of the nodes' root, without a network, as a role will; returns its version."""
    with tempfile.TemporaryDirectory(prefix="lab-criu-") as room:
        command = ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", _INSTALL, "install"]
        shown = run([*command, root, repository, room]).stdout
    found = re.search(r"^Version: (\S+)", shown, re.MULTILINE)
    if not found:
        raise LabError(f"The installed criu does not tell its version: {shown.strip()}")
    return found.group(1)


def criu_is_new_enough(version: str) -> bool:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2]) >= CRIU_NEEDED


# Without an environment variable, which would reach the programs that the interpreter starts.
_PYTHON39 = """#!/bin/sh
# Python 3.9 with the libraries that it was built for, wherever it lies.
usr=$(dirname "$(dirname "$(readlink -f "$0")")")
libraries=$(echo "$usr"/lib/*-linux-gnu "$usr"/../lib/*-linux-gnu | tr ' ' :)
for loader in /lib64/ld-linux-*.so.* /lib/ld-linux-*.so.*; do
    [ -e "$loader" ] && exec "$loader" --argv0 "$0" --library-path "$libraries" "$usr/bin/python3.9-itself" "$@"
done
"""


def python39_recipe() -> Recipe:
    plain = _unpacked("python39", "Python 3.9: packages of Debian 11", PYTHON39_SUITE, PYTHON39_PACKAGES, megabytes=80)

    def build(tree: pathlib.Path, say: Say) -> dict[str, str]:
        versions = plain.build(tree, say)
        wrapper = tree / "usr" / "bin" / "python3.9"
        wrapper.rename(wrapper.with_name("python3.9-itself"))
        wrapper.write_text(_PYTHON39)
        wrapper.chmod(0o755)
        run([wrapper, "-c", "import ctypes, hashlib, json, mmap, ssl, sqlite3, tarfile"])
        return versions

    return Recipe(plain.name, plain.title, {**plain.inputs, "wrapper": _PYTHON39}, build, megabytes=plain.megabytes)
