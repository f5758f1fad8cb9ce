"""The frame of ./claw bench: which benches there are, what they print, and what they hand on as JSON."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bench import __main__ as benches
from bench import envelope
from bench.figures import Figure, at_least, at_most
from clawbucket import __version__
from clawbucket.cli import bench_command, steps
from clawbucket.cli.refusal import Refusal

MET = at_least("a rate", [0.7, 0.9, 0.8], "x", 0.6, size=20)
MISSED = at_most("a time", 2.5, "s", 1.0, [2.5, 0.123456789])
TOLD = Figure("only told", 12_345.678, "1/s")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """``python -m bench`` with two benches that need no rack, and reports/ of the test's own."""
    monkeypatch.setattr(benches, "BENCHES", {"api": lambda: [MET, TOLD], "election": lambda: [MISSED]})
    monkeypatch.setattr(envelope, "REPORTS", tmp_path / "reports")
    return lambda *given: CliRunner().invoke(benches.main, list(given), catch_exceptions=False)


def told(path: Path) -> Any:
    """What a file holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def test_without_names_each_of_the_usual_ones_is_taken(run: Callable[..., Result], tmp_path: Path):
    """A table for each on standard output, and a file for each whose path is printed."""
    done = run()
    kept = {told(path)["bench"]: path for path in (tmp_path / "reports").iterdir()}
    assert sorted(kept) == ["api", "election"]
    assert re.fullmatch(r"\d{8}T\d{6}Z-api\.json", kept["api"].name)
    for name, path in kept.items():
        assert f"{name}, measured" in done.stdout
        assert str(path) in done.stdout
    assert "a rate" in done.stdout
    assert "only told" in done.stdout


def test_the_status_says_whether_a_bar_is_missed(run: Callable[..., Result]):
    """1 when one is, 0 when none is; a figure without a bar counts for neither."""
    assert run("api").exit_code == 0
    assert run("api", "election").exit_code == 1


def test_one_bench_as_json_is_one_object(run: Callable[..., Result], tmp_path: Path):
    """Nothing else is on standard output, and no file is written unless a place was named."""
    said = json.loads(run("api", "--json").stdout)
    assert said["bench"] == "api"
    assert not (tmp_path / "reports").exists()


def test_several_benches_as_json_are_a_list(run: Callable[..., Result]):
    """In the order in which they were named."""
    assert [one["bench"] for one in json.loads(run("election", "api", "--json").stdout)] == [
        "election",
        "api",
    ]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_keep_says_where_the_files_go(run: Callable[..., Result], tmp_path: Path, options: tuple[str, ...]):
    """DIR/<name>.json, the same for a run later: what docs/performance.md is made from. JSON too if asked."""
    place = tmp_path / "made" / "figures"
    done = run("api", "--keep", str(place), *options)
    assert [path.name for path in place.iterdir()] == ["api.json"]
    assert not (tmp_path / "reports").exists()
    if options:
        assert json.loads(done.stdout) == told(place / "api.json")


def test_the_envelope_has_the_machine_the_versions_and_the_raw_runs(
    run: Callable[..., Result], tmp_path: Path
):
    """Under the names that whoever draws from it knows."""
    run("api", "--keep", str(tmp_path / "kept"))
    one = told(tmp_path / "kept" / "api.json")
    assert set(one) == {"bench", "taken", "machine", "versions", "figures"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", one["taken"])
    assert set(one["machine"]) == {"processor", "cores", "memory_gib", "system", "load_before"}
    assert one["machine"]["cores"] >= 1
    assert one["machine"]["memory_gib"] > 0
    assert {"python", "clawbucket", "gunicorn", "gevent", "flask", "aiohttp", "pymemcache"} <= set(
        one["versions"]
    )
    assert one["versions"]["clawbucket"].startswith(__version__)
    assert "chromium" not in one["versions"]
    rate, only_told = one["figures"]
    assert rate == {
        "name": "a rate", "value": 0.8, "unit": "x", "bar": ">= 0.6", "met": True, "raw": [0.7, 0.9, 0.8],
        "size": 20,
    }  # fmt: skip
    assert only_told["value"] == 12_345.7
    assert only_told["size"] is None


def test_the_envelope_does_not_tell_whose_machine_it_was():
    """No host name, no path and no address is in it."""
    said = envelope.text(envelope.envelope("dashboard", [MISSED], 0.5))
    assert platform.node() not in said
    assert not re.search(r'"/|127\.0\.0\.1|localhost', said)


def test_each_figure_is_one_line_of_the_file():
    """So that two runs can be compared by their lines; numbers have six digits."""
    whole = envelope.envelope("api", [MET, MISSED], 0.5)
    text = envelope.text(whole)
    assert json.loads(text) == whole
    lines = [line for line in text.splitlines() if '"raw"' in line]
    assert [json.loads(line.rstrip(","))["name"] for line in lines] == ["a rate", "a time"]
    assert "0.123457]" in lines[1]


def test_what_was_measured_is_kept_when_the_next_cannot_be(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """A refusal ends with its sentence and its status, after the first one's file was written."""

    def refuse() -> list[Figure]:
        raise Refusal("no racks run on Docker here")

    monkeypatch.setitem(benches.ASKED_FOR, "revolt-docker", refuse)
    done = run("api", "revolt-docker")
    assert done.exit_code == Refusal("").code
    assert "bench: no racks run on Docker here" in done.stderr
    assert [told(path)["bench"] for path in (tmp_path / "reports").iterdir()] == ["api"]


def test_a_name_that_is_none_is_refused_with_those_that_are(run: Callable[..., Result]):
    """Before anything is measured."""
    done = run("speed")
    assert done.exit_code == 2
    assert "'speed'" in done.stderr
    assert all(name in done.stderr for name in ("api", "election", "sim"))


def test_the_help_of_claw_bench_has_an_example_of_each():
    """And names none that does not exist."""
    examples = re.findall(r"\./claw bench(?: ([a-z-]+))?", bench_command.bench.epilog or "")
    assert set(examples) - {""} == set(benches.BENCHES) | set(benches.ASKED_FOR)


def test_claw_bench_hands_its_options_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The bench runs in the clone's root, so that DIR is made absolute where the person stands."""
    ran: list[tuple[str, ...]] = []

    def take(step: steps.Step) -> int:
        ran.append(step.command[1:])
        return 1

    monkeypatch.setattr(bench_command, "run", take)
    monkeypatch.chdir(tmp_path)
    given = ["sim", "--json", "--keep", "kept", "--troopers", "10", "--minutes", "2"]
    with pytest.raises(SystemExit) as ended:
        bench_command.bench.main(given, standalone_mode=False)
    assert ended.value.code == 1
    options = ("--json", "--keep", str(tmp_path / "kept"), "--minutes", "2", "--troopers", "10")
    assert ran == [("-m", "bench", *options, "sim")]
