"""Two racks on two Docker engines, by ./deploy-racks.sh and the override for hosts without privileges."""

from __future__ import annotations

import json
import subprocess
from urllib.parse import urlsplit

import pytest

from bench.rack import wait_until
from tests.docker.deployed import MENDED, Deployed
from tests.docker.racks import Racks

pytestmark = pytest.mark.slow

REACHES = """
import socket
for host, port in {places}:
    try:
        socket.create_connection((host, port), timeout=3).close()
        print("open")
    except OSError:
        print("shut")
"""
ASKS = """
import json
from urllib.request import Request, urlopen
asked = Request("{url}/api/chat", json.dumps({{"text": "from the other rack"}}).encode(),
    {{"Content-Type": "application/json", "Authorization": "Bearer {token}"}})
print(urlopen(asked, timeout=5).status)
"""


def replica(side: Deployed) -> str:
    """A container of one of the rack's troopers."""
    return side.containers()["clawbucket"][0]


def address(racks: Racks, side: Deployed) -> str:
    """The rack's own on the wire between both."""
    return urlsplit(racks.peer(racks.other(side))).hostname or ""


def versions(side: Deployed) -> list[str]:
    """What the tasks of each of the rack's services are made by; Swarm replaces them when it changes."""
    names = side.engine.names("service")
    return side.engine.docker(
        "service", "inspect", "--format", "{{.Spec.Name}} {{json .Spec.TaskTemplate}}", *names
    ).splitlines()


def test_both_dashboards_and_scoreboards_answer(racks):
    """Each under its own label, with two troopers of each service."""
    for number, side in enumerate(racks.both, 1):
        assert side.get("/api/whoami").get_json()["label"] == f"Machine Rack {number}"
        assert [swarm["running_count"] for swarm in side.swarms()] == [2, 2]
        assert side.send("GET", "/api/scoreboard", base=side.aggregator_url).status_code == 200


def test_one_token_is_the_operators_on_both(racks):
    """Without it nothing changes."""
    for side in racks.both:
        assert side.post("/api/chat", {"text": "hello"}).status_code == 201
        assert side.post("/api/chat", {"text": "hello"}, token=False).status_code == 401


def test_troopers_reach_the_other_rack(racks):
    """As their setting says, also to change something there."""
    for side in racks.both:
        code, said = side.run_in(replica(side), "import os; print(os.environ['PEER_DASHBOARD_URL'])")
        assert (code, said.strip()) == (0, racks.peer(side))
        asks = ASKS.format(url=racks.peer(side), token=side.secrets["token"])
        assert side.run_in(replica(side), asks) == (0, "201\n")


def test_both_have_the_same_peer_key(racks):
    """Or they would refuse each other's troopers."""
    reads = "print(open('/run/secrets/clawbucket_peer_key').read())"
    keys = {side.run_in(replica(side), reads) for side in racks.both}
    assert len(keys) == 1
    ((code, key),) = keys
    assert (code, len(key.strip())) == (0, 64)


def test_no_trooper_reaches_an_engine(racks):
    """Neither its own rack's, by either address that it has to its containers, nor the other's."""
    form = "{{range .IPAM.Config}}{{.Gateway}}{{end}}"
    for side in racks.both:
        own, other = address(racks, side), address(racks, racks.other(side))
        bridge = side.engine.docker("network", "inspect", "--format", form, "docker_gwbridge")
        places = [(own, 2375), (bridge, 2375), (other, 2375), (other, 8080)]
        code, said = side.run_in(replica(side), REACHES.format(places=places))
        assert (code, said.split()) == (0, ["shut", "shut", "shut", "open"])


def test_their_networks_do_not_meet(racks):
    """Each engine has made its own in its own range."""
    form = "{{range .IPAM.Config}}{{.Subnet}} {{end}}"
    for number, side in enumerate(racks.both, 1):
        names = side.engine.names("network")
        subnets = side.engine.docker("network", "inspect", "--format", form, *names).split()
        assert len(subnets) >= 7
        assert {s.rpartition(".")[0].rpartition(".")[0] for s in subnets} == {
            racks.variables[f"RACK_{number}_POOL"]
        }


def test_status_tells_of_both(racks):
    """With status 0 when all is well."""

    def well() -> subprocess.CompletedProcess[str] | None:
        done: subprocess.CompletedProcess[str] = racks.script("status")
        return None if done.returncode else done

    done = wait_until("status says that all is well", well, MENDED)
    for number, side in enumerate(racks.both, 1):
        assert f"Machine Rack {number}\n" in done.stdout
        assert f"ready  {side.url}" in done.stdout


def test_logs_are_those_of_the_rack(racks):
    """Of one, where one is named."""
    racks.two.wait_whole()
    done = racks.script("logs", "rack-2", "--lines", "1000", "clawbucket")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "{" in line]
    tasks = {json.loads(line[line.index("{") :])["task"] for line in lines}
    assert {task.rpartition(".")[2] for task in tasks} >= {
        seat.id for seat in racks.two.seats(racks.two.primary)
    }


def test_up_again_changes_nothing(racks):
    """No image is loaded again, and no service gets a new version: what runs goes on."""
    before = [versions(side) for side in racks.both]
    said = racks.up()
    assert "loading" not in said
    assert "secrets made" not in said
    assert [versions(side) for side in racks.both] == before


def test_racks_that_were_ended_come_back(racks):
    """Without --volumes the engines keep images, secrets and swarms; the addresses are the same."""
    done = racks.script("down")
    assert done.returncode == 0, done.stderr
    ended = racks.script("status")
    assert (ended.returncode, "no racks run here" in ended.stderr) == (2, True)
    said = racks.up()
    assert "loading" not in said
    for side in racks.both:
        asks = ASKS.format(url=racks.peer(side), token=side.secrets["token"])
        assert side.run_in(replica(side), asks) == (0, "201\n")
