from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from clawbucket.cli import racks_plan
from clawbucket.cli.racks_plan import FIRST_PORT, RacksDir, launcher, peers, sides, wanted
from clawbucket.cli.racks_up import progress
from clawbucket.cli.refusal import Refusal
from clawbucket.cli.rundir import Mark, Run, RunDir
from clawbucket.settings import Settings

KEY = "a-key-that-all-racks-share"


@pytest.fixture
def bare(monkeypatch):
    """Nothing in the environment has a say."""
    for name in ("TOKEN", "TOKEN_FILE", "PEER_KEY", "PEER_KEY_FILE"):
        monkeypatch.delenv(f"CLAWBUCKET_{name}", raising=False)
    for name in ("REVOLT_SNAPSHOT_DIR", "MEMCACHED_HOST", "PEER_DASHBOARD_URL"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def programs(home: Path, count=2, **options):
    """The launchers of so many racks."""
    where = racks_plan.directory(home)
    where.prepare(KEY)
    racks = sides(count, FIRST_PORT)
    return [
        launcher(
            side, racks, settings=Settings.from_env(), options=options, where=where, run_id="all", lifeline=9
        )
        for side in racks
    ]


def found(program) -> Settings:
    """What the launcher, and so every program of its rack, is set to."""
    return Settings.from_env(program.environment)


# Names and ports ----------------------------------------------------------------------------------------


def test_five_racks_have_the_contracts_ports_and_labels():
    """18080 and 18090 for the first, and each next one ten thousand above."""
    racks = sides(5, FIRST_PORT)
    assert [(rack.port, rack.aggregator_port) for rack in racks] == [
        (18080, 18090), (28080, 28090), (38080, 38090), (48080, 48090), (58080, 58090),
    ]  # fmt: skip
    assert [rack.name for rack in racks] == ["rack-1", "rack-2", "rack-3", "rack-4", "rack-5"]
    assert [rack.label for rack in racks][:2] == ["Machine Rack 1", "Machine Rack 2"]
    assert racks[1].url == "http://127.0.0.1:28080"
    assert sides(2, FIRST_PORT, "0.0.0.0")[0].url == "http://127.0.0.1:18080"


def test_ports_that_would_be_none_are_refused_with_the_highest_that_will_do():
    """The last rack's are ten thousand for each rack above the first one's."""
    with pytest.raises(Refusal, match="--first-port takes at most 15525 with 6 racks"):
        sides(6, FIRST_PORT)
    assert sides(6, 15525)[-1].aggregator_port == 65535


def test_every_port_is_asked_for_by_name():
    """With whose it is, and what chooses another."""
    ports = wanted(sides(2, FIRST_PORT))
    assert [port.port for port in ports] == [18080, 18090, 28080, 28090]
    assert ports[3].whose == "rack-2's scoreboard"
    assert {port.option for port in ports} == {"--first-port"}


# Peers --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("bare")
def test_of_two_racks_each_is_the_others_one_peer(tmp_path):
    """By the variable of old, under the name that its peer always has."""
    one, two = map(found, programs(tmp_path))
    assert [(peer.name, peer.url) for peer in one.all_peers] == [("peer", "http://127.0.0.1:28080")]
    assert [(peer.name, peer.url) for peer in two.all_peers] == [("peer", "http://127.0.0.1:18080")]
    assert one.peers == ()


def test_of_more_each_has_all_others_by_name(bare, tmp_path):
    """And what the person's environment says of peers is not theirs."""
    bare.setenv("PEER_DASHBOARD_URL", "http://elsewhere:8080")
    for number, settings in enumerate(map(found, programs(tmp_path, 3)), 1):
        others = {n for n in (1, 2, 3) if n != number}
        assert {peer.name: peer.url for peer in settings.all_peers} == {
            f"rack-{other}": f"http://127.0.0.1:{other}8080" for other in others
        }
    racks = sides(3, FIRST_PORT)
    assert list(peers(racks[0], racks)) == ["rack-2", "rack-3"]


@pytest.mark.usefixtures("bare")
def test_all_share_the_key_that_was_made(tmp_path):
    """In a file that its owner alone can read."""
    settings = [found(program) for program in programs(tmp_path, 3)]
    assert {each.peer_key for each in settings} == {KEY}
    (path,) = {each.peer_key_file for each in settings}
    assert path == tmp_path / "racks" / "peer-key"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("by_file", [False, True])
def test_a_key_of_the_persons_own_is_used(bare, tmp_path, by_file):
    """Wherever the launchers run; the one that was made is nobody's then."""
    (tmp_path / "mine").write_text("a-key-of-my-own\n")
    bare.chdir(tmp_path)
    bare.setenv(
        *(("CLAWBUCKET_PEER_KEY_FILE", "mine") if by_file else ("CLAWBUCKET_PEER_KEY", "a-key-of-my-own"))
    )
    given = programs(tmp_path / "home")
    bare.chdir("/")
    assert {found(program).peer_key for program in given} == {"a-key-of-my-own"}


# What each launcher is told -----------------------------------------------------------------------------


@pytest.mark.usefixtures("bare")
def test_a_launcher_is_claw_up_with_its_ports_and_what_was_asked_for(tmp_path):
    """And with the end of a pipe by which it ends when the launcher of launchers does."""
    (tmp_path / "token").write_text("the-operators-token\n")
    options = {
        "replicas": 2, "services": ("a", "b"), "log_format": "json", "host": "0.0.0.0",
        "token_file": tmp_path / "token",
    }  # fmt: skip
    program = programs(tmp_path / "home", **options)[1]
    line = " ".join(program.command)
    assert line.startswith(f"{sys.executable} -m clawbucket up --port 28080 --aggregator-port 28090")
    assert "--label Machine Rack 2 --lifeline 9" in line
    for typed in ("--replicas 2", "--services a,b", "--log-format json", "--host 0.0.0.0"):
        assert typed in line
    assert found(program).token == "the-operators-token"
    assert program.fds == (9,)
    assert program.log_file == tmp_path / "home" / "racks" / "logs" / "rack-2.log"


def test_racks_share_neither_bus_nor_snapshots(bare, tmp_path):
    """Whatever the person's environment says: on one bus they would be one rack."""
    bare.setenv("MEMCACHED_HOST", "10.0.0.5")
    bare.setenv("REVOLT_SNAPSHOT_DIR", str(tmp_path / "mine"))
    one, two = programs(tmp_path / "home")
    assert one.environment["MEMCACHED_HOST"] == ""
    assert found(one).revolt_snapshot_dir == tmp_path / "mine" / "rack-1"
    assert found(two).revolt_snapshot_dir == tmp_path / "mine" / "rack-2"
    bare.delenv("REVOLT_SNAPSHOT_DIR")
    assert programs(tmp_path / "home")[0].environment["REVOLT_SNAPSHOT_DIR"] == ""  # its run directory then


# How far they are ---------------------------------------------------------------------------------------


def test_racks_run_once_every_launcher_says_so(tmp_path):
    """A launcher that died, or has not written anything down yet, is waited for by name."""
    racks = sides(3, FIRST_PORT)
    where = RacksDir(tmp_path / "racks")

    def account(port, *, ready, born=None):
        directory = RunDir(tmp_path / str(port))
        directory.prepare("token")
        mark = Mark.of(1) if born is None else Mark(1, born)
        directory.write(Run(mark, "r", "l", "now", port, {}, "", "", (), ready=ready))

    account(18080, ready=True)
    account(28080, ready=False)
    account(38080, ready=True, born=1.0)
    told = progress(where, racks)
    assert (told.running, told.wanted, told.waits_for) == (1, 3, "rack-2 and rack-3")
    account(28080, ready=True)
    account(38080, ready=True)
    assert progress(where, racks).waits_for == ""
    assert json.loads((tmp_path / "18080" / "launcher.json").read_text())["ready"]
