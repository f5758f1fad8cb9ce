from __future__ import annotations

import os
import resource
import shutil
import subprocess

import pytest

from clawbucket.cli import provision
from clawbucket.cli.packages import Package, install
from clawbucket.cli.provision import CHROMIUM, MEMCACHED, memcached_command
from clawbucket.cli.refusal import Refusal


class Machine:
    """An operating system with some package managers."""

    def __init__(self, *managers, root=True, status=0, stderr=""):
        self.managers, self.root = managers, root
        self.status, self.stderr = status, stderr
        self.ran = []
        self.told = []

    def install(self, package=MEMCACHED):
        install(
            package, self.told.append, is_root=self.root,
            which=lambda name: f"/usr/bin/{name}" if name in self.managers else None, run=self._run,
        )  # fmt: skip

    def _run(self, command):
        self.ran.append(command)
        return subprocess.CompletedProcess(command, self.status, "", self.stderr)


def test_root_on_debian_installs_with_apt_and_says_so():
    """The index first, then the package, without what is only recommended."""
    machine = Machine("apt-get")
    machine.install()
    assert machine.ran == [
        ("apt-get", "-qq", "update"),
        ("apt-get", "-qq", "install", "-y", "--no-install-recommends", "memcached"),
    ]
    assert machine.told == ["memcached is not installed: installing it with apt-get (memcached)"]


@pytest.mark.parametrize("manager", ["apk", "dnf"])
def test_root_elsewhere_installs_with_what_is_there(manager):
    """Alpine and Fedora."""
    machine = Machine(manager)
    machine.install()
    assert machine.ran[-1][0] == manager
    assert machine.ran[-1][-1] == "memcached"


def test_brew_is_never_asked_as_root():
    """It refuses to run as root, and serves everybody else."""
    machine = Machine("brew", root=False)
    machine.install()
    assert machine.ran == [("brew", "install", "--quiet", "memcached")]
    with pytest.raises(Refusal):
        Machine("brew", root=True).install()


def test_who_may_not_install_is_told_how_to_get_it():
    """One sentence with every way, among them doing without; nothing is run."""
    machine = Machine("apt-get", root=False)
    with pytest.raises(Refusal) as refused:
        machine.install()
    assert str(refused.value) == (
        "memcached is not installed; install it (Debian, Ubuntu: sudo apt install memcached, "
        "Alpine: sudo apk add memcached, Fedora: sudo dnf install memcached, macOS: brew install memcached), "
        "or set MEMCACHED_HOST to one that runs elsewhere"
    )
    assert refused.value.code == 2
    assert machine.ran == []


def test_an_installation_that_fails_says_what_the_manager_said_last():
    """So that the person need not look for it."""
    machine = Machine("apt-get", status=100, stderr="W: old\nE: Unable to locate package memcached\n")
    with pytest.raises(Refusal, match="apt-get says 'E: Unable to locate package memcached'"):
        machine.install()


def test_a_package_that_a_manager_does_not_have_is_not_asked_of_it():
    """Only Debian splits the venv module off."""
    with pytest.raises(Refusal, match=r"install it \(Debian, Ubuntu: sudo apt install python3.11-venv\)"):
        Machine("apk").install(Package("the venv module", apt="python3.11-venv"))


def test_what_is_there_is_not_installed(monkeypatch):
    """A program on PATH is used as it is."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/opt/{name}")
    told: list[str] = []
    assert provision.memcached(told.append) == "/opt/memcached"
    assert provision.chromium(told.append) == "/opt/chromium"
    assert told == []


def test_a_browser_goes_by_several_names(monkeypatch):
    """Ubuntu and Fedora call it chromium-browser."""
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/cb" if name == "chromium-browser" else None)
    assert provision.chromium(lambda _: None) == "/bin/cb"
    assert CHROMIUM.apt == "chromium"


class Shelf:
    """A machine on which these programs are there, and these commands end well."""

    def __init__(self, monkeypatch, programs: set[str], works: set[str], *, root: bool) -> None:
        self.programs, self.works = programs, works
        self.installed: list[str] = []
        monkeypatch.delenv("DOCKER_HOST", raising=False)
        monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
        monkeypatch.setattr(shutil, "which", lambda name: f"/opt/{name}" if name in self.programs else None)
        monkeypatch.setattr(provision, "install", self.install)
        monkeypatch.setattr(subprocess, "run", self.run)

    def install(self, package: Package, _: object) -> None:
        self.installed.append(package.program)
        self.programs.add(package.program)

    def run(self, command, **_: object) -> subprocess.CompletedProcess[bytes]:
        line = " ".join(command)
        return subprocess.CompletedProcess(command, 0 if line in self.works else 1, b"", b"")


def refuse(package: Package, _: object) -> None:
    """As where there is no package manager that could install it."""
    raise Refusal(f"{package.program} cannot be had")


WITH_COMPOSE, ENGINE = "docker compose version", "docker version"


def test_docker_is_installed_with_all_that_an_engine_of_our_own_takes(monkeypatch):
    """On a bare Debian, as root: the command, the engine, and what makes images without a registry."""
    shelf = Shelf(monkeypatch, {"apt-get"}, set(), root=True)
    provision.docker(lambda _: None)
    assert shelf.installed == ["docker", "docker-compose", "dockerd", "iptables", "debootstrap"]


def test_without_shellcheck_it_is_said_that_scripts_go_unchecked(monkeypatch):
    """It is installed where that can be; elsewhere the other checks go on without it."""
    shelf = Shelf(monkeypatch, {"apt-get"}, set(), root=True)
    said: list[str] = []
    provision.shellcheck(said.append)
    assert (shelf.installed, said) == (["shellcheck"], [])
    shelf.programs.clear()
    monkeypatch.setattr(provision, "install", refuse)
    provision.shellcheck(said.append)
    assert said == ["the shell scripts are not checked: shellcheck cannot be had"]


def test_an_engine_that_answers_is_used_as_it_is(monkeypatch):
    """Nobody installs a second one; whoever is not root pulls images instead of making them."""
    shelf = Shelf(monkeypatch, {"docker", "apt-get"}, {WITH_COMPOSE, ENGINE}, root=False)
    provision.docker(lambda _: None)
    assert shelf.installed == []


def test_no_engine_and_no_way_to_have_one_is_told_at_once(monkeypatch):
    """Before the other tests run for half an hour, with the way to leave these out."""
    Shelf(monkeypatch, {"docker", "apt-get"}, {WITH_COMPOSE}, root=False)
    with pytest.raises(Refusal, match=r"no Docker engine answers at unix:.*only root.*--no-docker"):
        provision.docker(lambda _: None)


def test_memcached_is_private_and_within_the_file_limit(monkeypatch):
    """Loopback and TCP alone; it would not start with more connections than files it may open."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1024))
    command = memcached_command("/usr/bin/memcached", 4711)
    assert command[:7] == ("/usr/bin/memcached", "-l", "127.0.0.1", "-p", "4711", "-U", "0")
    assert command[-2:] == ("-c", "960")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1_048_576))
    assert memcached_command("/usr/bin/memcached", 4711)[-1] == "4096"


def test_a_chosen_memcached_that_does_not_answer_is_refused():
    """By the variable's name, before anything starts."""
    with pytest.raises(Refusal, match=r"MEMCACHED_HOST is set to .* and it does not answer: .*unset"):
        provision.ask_memcached("127.0.0.1", 1)
