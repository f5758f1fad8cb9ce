"""The docs tell what there is, and nothing that there is not: the programs themselves are asked.

A failing test prints what to write where. The idea is datasette's (tests/test_docs.py there).
"""

from __future__ import annotations

import ast
import re
import typing
from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import cache
from itertools import pairwise
from typing import Any, cast

import click
import pytest
from flask import Flask

import aggregator.factory
import app.factory
import app.services
import rack.api
import rack.metrics
from aggregator.reading import Reader
from app.openapi import describe
from clawbucket import asking, board, codecs, keys, ports, settings
from clawbucket.bus import memcached
from clawbucket.bus.memory import MemoryBus
from clawbucket.cli.main import claw
from clawbucket.core import agent, events, history, membership, model, neighbours, records, revolt, rps
from clawbucket.core.election import Timing as Lease
from clawbucket.handoff import exchange, files, finishing, peer_http, signing, source, target
from clawbucket.handoff.watching_peers import WatchingPeers
from clawbucket.health import Health
from clawbucket.loops import haiku, orders, thinker, watching, words
from gateway import probes as gateway_probes
from gateway import proxy, routing, upstreams
from picoclaw.errors import PicoClawError
from rack import client, observer
from rack.engines.restart_policy import RestartPolicy
from rack.engines.timing import Timing as Engine
from tests.fakes import FakeClock
from tests.pages import (
    DOCS,
    PROTOCOL,
    README,
    ROOT,
    anchors,
    everything,
    name_of,
    rows,
    section,
    spans,
    text,
    typed,
)

PROGRAMS = ("app", "aggregator", "gateway", "rack")
WIRE_NAMES = {
    ("Throw", "by"): "from", ("ChatMessage", "sender"): "from", ("RackEvent", "before"): "from",
    ("RackEvent", "after"): "to",
}  # fmt: skip
"""Fields that are called otherwise on the bus (clawbucket/codecs.py)."""
SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


# Settings -----------------------------------------------------------------------------------------------


def shown(default: object) -> str:
    """A default as the table has it."""
    if default is None or default in ("", ()):
        return "unset"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`"


@pytest.mark.parametrize("variable", [v for v, _ in settings.table()], ids=lambda v: v.name)
def test_every_setting_is_in_the_readme(variable):
    """Its row has the name, the default, what it takes and what it means, in the settings' own words."""
    default = next(d for v, d in settings.table() if v.name == variable.name)
    row = f"| `{variable.name}` | {shown(default)} | {variable.takes} | {variable.doc} |"
    assert row in text(README), f"add to the settings table of README.md:\n{row}"


def test_no_variable_is_documented_that_does_not_exist():
    """Whatever looks like a variable of ours is one, and the table has no row beside those."""
    known = {variable.name for variable, _ in settings.table()}
    known |= set(re.findall(r"\$\{([A-Z_]+)", text(ROOT / "docker-stack.yml")))
    assert set(re.findall(r"\bCLAWBUCKET_[A-Z_]+\b", everything())) <= known
    assert {row[0].strip("`") for row in rows(section(README, "Settings"))} <= known


def test_every_variable_of_the_stack_file_is_in_the_readme():
    """With what it means, or as a setting of the programs; so is each of the file of two racks."""
    files = text(ROOT / "docker-stack.yml") + text(ROOT / "docker-compose.racks.yml").replace(
        "RACK_2_", "RACK_1_"
    )
    named = set(re.findall(r"(?<!\$)\$\{([A-Z0-9_]+)", files))
    assert sorted(named - {word for span in spans(text(README)) for word in span.split(", ")}) == []


# Keys and records ---------------------------------------------------------------------------------------


def documented_keys() -> dict[str, list[str]]:
    """The rows of the table of keys, by key with its member's place left empty."""
    table = rows(section(PROTOCOL, "memcached keys"))
    return {re.sub(r"<[a-z_]+>", "{}", row[0].strip("`")): row for row in table if row[0].startswith("`")}


@pytest.mark.parametrize("key", keys.ALL, ids=lambda key: key.name)
def test_every_key_is_documented(key):
    """With its time to live, its size bound and the length of its list."""
    row = documented_keys().get(key.name)
    assert row, f"{key.name} is not in the table of docs/protocol.md"
    bound = f"{key.max_bytes} bytes" + (f", {key.cap} items" if key.cap else "")
    assert row[1:3] == [str(key.ttl), bound]


def test_no_key_is_documented_that_does_not_exist():
    """Neither in the table nor anywhere else."""
    known = {key.name for key in keys.ALL}
    assert set(documented_keys()) <= known
    named = {span for span in spans(everything()) if re.match(r"clawbucket:[a-z]", span)}
    assert {re.sub(r"<[a-z_]+>", "{}", span) for span in named} <= known


def record_types() -> list[type]:
    """Everything that has a shape on the bus."""
    return [
        model.Snapshot, model.Node, model.Service, model.Task, records.Lease, records.Throw,
        records.Heartbeat, records.Arm, records.Words, records.Haiku, records.ChatMessage, records.ArmEvent,
        records.LoadSample, records.Order, records.Ack, records.Answer, agent.Agent, agent.Utterance,
        revolt.RevoltEvent, events.RackEvent, revolt.Handoff, revolt.PhaseChange, revolt.TrooperState,
        neighbours.PeerSummary, neighbours.PeerTrooper,
    ]  # fmt: skip


def as_documented(record: type) -> list[str]:
    """The record's fields as its row must name them: a ``?`` where there may be null."""
    hints = typing.get_type_hints(record)
    return [
        WIRE_NAMES.get((record.__name__, f.name), f.name) + ("?" if _optional(hints[f.name]) else "")
        for f in fields(record)
    ]


def _optional(hint: object) -> bool:
    return type(None) in typing.get_args(hint)


@pytest.mark.parametrize("record", record_types(), ids=lambda record: record.__name__)
def test_every_field_of_every_record_is_documented(record):
    """In its order, and none that is not there."""
    row = next((r for r in rows(section(PROTOCOL, "Records")) if r[0] == f"`{record.__name__}`"), None)
    assert row, f"{record.__name__} is not in the table of records of docs/protocol.md"
    assert [spans(part)[0] for part in row[1].split(" · ")] == as_documented(record)


def test_every_record_on_the_bus_is_listed():
    """No codec holds a record that the table of records leaves out."""
    values = {row[4] for row in documented_keys().values() if row[4]}
    listed = {row[0] for row in rows(section(PROTOCOL, "Records"))}
    assert {f"`{name}`" for value in values for name in spans(value)} <= listed
    assert {record.__name__ for record in record_types()} == {row.strip("`") for row in listed}
    assert len([c for c in vars(codecs).values() if isinstance(c, codecs.Codec)]) == len(values_by_codec())


def values_by_codec() -> list[str]:
    """The keys that hold something today, one for each codec: two keys share the three words'."""
    held = [name for name, row in documented_keys().items() if row[4]]
    return [name for name in held if name != keys.WORDS_LATEST.name]


# Routes -------------------------------------------------------------------------------------------------


@cache
def apps() -> dict[str, Flask]:
    """The Flask applications, wired to a bus in memory; none is ever asked anything."""
    clock = FakeClock()
    bus, gate, health = MemoryBus(clock), codecs.Gate(clock), Health()
    replica = app.services.assemble(settings.Settings(swarm_services=("a_b",)), clock, bus, cast("Any", None))
    scoreboard = Reader(bus, gate, clock)
    nothing = cast("Any", None)
    wiring = rack.api.Wiring(nothing, nothing, rack.metrics.Metrics(), health, health, "a-token")
    return {
        "Replica API": app.factory.create_app(replica),
        "Aggregator API": aggregator.factory.create_app(settings.Settings(), scoreboard, health),
        "Rack API": rack.api.create_api(wiring),
    }


def routes(flask: Flask) -> set[str]:
    """``METHOD /path`` of everything that it answers, converters and members' names left out."""
    return {
        f"{method} {_bare(rule.rule)}"
        for rule in flask.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def _bare(path: str) -> str:
    return re.sub(r"<[^>]*>", "<>", path)


def documented_routes(part: str) -> set[str]:
    """``METHOD /path`` of every call in the text."""
    return {_bare(span) for span in spans(part) if re.fullmatch(r"(GET|POST|PUT|PATCH|DELETE) /\S*", span)}


@pytest.mark.parametrize("title", ["Replica API", "Aggregator API", "Rack API"])
def test_every_route_is_documented(title):
    """In its program's section, or with what every program answers."""
    told = documented_routes(section(PROTOCOL, title) + section(PROTOCOL, "Health and metrics"))
    assert sorted(routes(apps()[title]) - told) == []


@pytest.mark.parametrize("title", ["Replica API", "Aggregator API", "Rack API"])
def test_no_route_is_documented_that_does_not_exist(title):
    """A section tells of its own program alone."""
    assert documented_routes(section(PROTOCOL, title)) - routes(apps()[title]) == set()


def test_no_page_names_an_api_route_that_does_not_exist():
    """Whatever looks like a path of an API is one."""
    known = {route.split()[1] for flask in apps().values() for route in routes(flask)}
    named = {_bare(path) for path in re.findall(r"(?<![\w.])/(?:api|v1|ui)/[\w/<>-]*\w>?", everything())}
    assert named - known == set()


def test_every_field_of_the_openapi_document_is_documented():
    """Each property that a replica takes or gives is named in the protocol."""
    document = describe(settings.Settings(swarm_services=("a_b",)))
    told = {word for span in spans(text(PROTOCOL)) for word in re.findall(r"\w+", span)}
    assert sorted(set(_properties(document)) - told) == []


def _properties(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for name, inner in node.items():
            if name == "properties" and isinstance(inner, dict):
                yield from inner
            yield from _properties(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _properties(inner)


def test_every_event_of_the_stream_is_documented():
    """The events that app/fanout.py writes are those in the table."""
    source = (ROOT / "app/fanout.py").read_text(encoding="utf-8")
    written = set(re.findall(r'(?:_append\(|frame\([^"]*)"([a-z]+)"', source))
    events = section(PROTOCOL, "The stream").partition("The state is one object")[0]
    assert written
    assert {row[0].strip("`") for row in rows(events)} == written


# Error codes and metrics --------------------------------------------------------------------------------


def trees() -> Iterator[ast.AST]:
    """The source of every program that answers."""
    for path in [ROOT / "clawbucket/wsgi.py", *(p for room in PROGRAMS for p in (ROOT / room).rglob("*.py"))]:
        yield ast.parse(path.read_text(encoding="utf-8"))


def error_codes() -> set[str]:
    """What the source gives as a code: beside a status, in a table by status, or under that name."""
    found = (code for tree in trees() for node in ast.walk(tree) for code in _codes(node))
    return {code for code in found if isinstance(code, str) and SNAKE.fullmatch(code)}


def agent_codes() -> set[str]:
    """What an ask may fail with: what the swarm says by itself, and PicoClaw's failures under their codes.

    app/errors.py answers an AgentFailed with the code that it carries, so the codes are where it is made.
    """
    told = {f"agent_{kind.code}" for kind in PicoClawError.__subclasses__()} | {ports.AgentFailed("").code}
    for path in (ROOT / "clawbucket").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "AgentFailed":
                given = [*node.args[2:3], *(k.value for k in node.keywords if k.arg == "code")]
                told |= {code for code in map(_value, given) if isinstance(code, str)}
    return told


def _codes(node: ast.AST) -> Iterator[object]:
    if isinstance(node, ast.Call):
        yield from _after_status(node.args)
        yield from (_value(k.value) for k in node.keywords if k.arg == "code")
        if isinstance(node.func, ast.Attribute) and node.func.attr == "get" and len(node.args) == 2:
            yield from _first(node.args[1])  # TABLE.get(status, ("code", "sentence"))
    elif isinstance(node, ast.Tuple):
        yield from _after_status(node.elts)
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if _value(key) == "code":
                yield _value(value)
            elif _is_error(_value(key)):
                yield from _first(value)


def _after_status(nodes: list[ast.expr]) -> Iterator[object]:
    for status, code in pairwise(nodes):
        if _is_error(_value(status)):
            yield _value(code)


def _first(node: ast.expr) -> Iterator[object]:
    if isinstance(node, ast.Tuple) and node.elts:
        yield _value(node.elts[0])


def _is_error(value: object) -> bool:
    return isinstance(value, int) and 400 <= value < 600


def _value(node: ast.AST | None) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def test_every_error_code_is_documented():
    """And none that nobody gives."""
    told = {row[0].strip("`") for row in rows(section(PROTOCOL, "Error codes")) if row[0].startswith("`")}
    given = error_codes() | agent_codes() | set(typing.get_args(signing.Code))
    assert sorted(given - told) == []
    assert sorted(told - given) == []


def test_every_metric_is_documented():
    """And none that nobody counts. A counter's ``_total`` is Prometheus' own."""
    named = re.compile(rf"clawbucket_({'|'.join(PROGRAMS)}|agent)_[a-z_]+")
    values = {_value(node) for tree in trees() for node in ast.walk(tree)}
    counted = {v.removesuffix("_total") for v in values if isinstance(v, str) and named.fullmatch(v)}
    told = {span.removesuffix("_total") for span in spans(text(PROTOCOL)) if named.fullmatch(span)}
    assert sorted(counted ^ told) == []


# Commands -----------------------------------------------------------------------------------------------


def commands(group: click.Command, path: str = "./claw") -> Iterator[tuple[str, click.Command]]:
    """Every command with what is typed for it."""
    if not isinstance(group, click.Group):
        yield path, group
        return
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None and not command.hidden:
            yield from commands(command, f"{path} {name}")


def command_row(path: str) -> str:
    """The table's row for a command."""
    for row in rows(section(README, "Commands")):
        if re.match(rf"`{re.escape(path)}[ `]", row[0]):
            return " ".join(row)
    pytest.fail(f"{path} is not in the table of commands of README.md")


@pytest.mark.parametrize("path", [path for path, _ in commands(claw)])
def test_every_command_and_option_is_documented(path):
    """In the README's table, in one row; ``--help`` goes without saying."""
    command = dict(commands(claw))[path]
    told = " ".join(spans(command_row(path)))
    wanted = {
        option
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden
        for option in parameter.opts
        if option.startswith("--")
    }
    assert {option for option in wanted if not re.search(rf"{option}\b", told)} == set()


def command_typed(said: str) -> str | None:
    """The command that these words begin with; None where there is none of that name."""
    known, words = dict(commands(claw)), said.split()
    return next((path for n in (2, 3) if (path := " ".join(words[:n])) in known), None)


def test_no_command_or_option_is_documented_that_does_not_exist():
    """Neither in the table nor in the tour; a group may be named by itself."""
    known = dict(commands(claw))
    groups = {path.rpartition(" ")[0] for path in known}
    for said in set(re.findall(r"\./claw(?: [a-z][a-z-]*)+", typed(everything()))):
        assert command_typed(said) or said in groups, said
    for row in rows(section(README, "Commands")):
        said = re.match(r"`(\./claw(?: [a-z-]+)+)", row[0])
        if said:
            path = command_typed(said[1])
            assert path, said[1]
            options = {o for p in known[path].params for o in (*p.opts, *p.secondary_opts)}
            assert set(re.findall(r"--[a-z][a-z-]*", " ".join(spans(" ".join(row))))) <= options, path


# Times --------------------------------------------------------------------------------------------------

TIMES: dict[str, Iterable[float]] = {
    "heartbeat;": (membership.BEAT_EVERY, membership.SUSPECT_AFTER, membership.MISSING_AFTER),
    "lease:": (Lease().renew, Lease().step_down, Lease().dead_after, Lease().by_rank, Lease().vacant),
    "snapshot at least": (observer.AT_LEAST_EVERY, board.SILENT_AFTER),
    "board:": (board.MAX_AGE,),
    "history:": (watching.Watching.every, history.SAMPLE_EVERY, history.FORGET_AFTER),
    "round:": (rps.DEFAULT_INTERVAL, rps.SHORTEST_INTERVAL, rps.LONGEST_INTERVAL),
    "three words;": (words.PERIOD, haiku.PERIOD),
    "inbox": (orders.Obeying.every,),
    "thought of its own": (
        thinker.THOUGHT_SECONDS,
        thinker.AGENT_SECONDS,
        thinker.ANSWER_SECONDS,
        asking.ANSWER_WITHIN,
    ),
    "handoff, source": (source.FREEZE, source.OFFER_SECONDS, source.AFTER),
    "handoff, target": (target.TAKE_IN, target.GROW, target._ACK, target.UNWIND),
    "other rack": (exchange.CONNECT, peer_http.HELLO, peer_http.ASK, peer_http.LOOK, WatchingPeers.every),
    "open handoffs": (
        finishing.Finishing.every,
        finishing.PATIENCE[revolt.Phase.PREPARED],
        finishing.PATIENCE[revolt.Phase.ACCEPTED],
        finishing.FINISHED_WITHIN,
        finishing.TAKE_IN_AGAIN,
    ),
    "trooper frozen": (finishing.ORPHAN_AFTER,),
    "signature:": (signing.WINDOW, keys.NONCE.ttl),
    "snapshot kept": (files.KEPT, finishing.SWEEP_EVERY),
    "thoughts apart": (words._STAGGER, asking._BETWEEN),
    "bus call:": (memcached.MemcachedBus.__init__.__kwdefaults__["timeout"],),
    "order to the rack": (client._CONNECT, client.RackClient.__init__.__kwdefaults__["timeout"]),
    "health check": (Engine().every, Engine().answer, Engine().misses, Engine().start),
    "end of a replica": (Engine().drain, Engine().grace),
    "restart of a slot": (0, RestartPolicy().first, RestartPolicy().longest, RestartPolicy().stable),
    "gateway: connect": (upstreams.CONNECT, proxy.FIRST_BYTE, proxy.FIRST_BYTE_OF_MANY),
    "gateway: a failed": (routing.FIRST_SUSPICION, routing.LONGEST_SUSPICION, gateway_probes.EVERY),
}
"""The constants behind each row of the table of times, by how the row begins."""


@pytest.mark.parametrize("beginning", TIMES)
def test_times_are_those_of_the_source(beginning):
    """The table gives the constants' own values, in their order."""
    found = [row[1] for row in rows(section(PROTOCOL, "Times")) if row[0].startswith(beginning)]
    assert found, f"no row begins with {beginning!r}"
    assert [float(n) for n in re.findall(r"\d+(?:\.\d+)?", found[0])] == [float(t) for t in TIMES[beginning]]


# Links --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", DOCS, ids=name_of)
def test_every_link_within_the_docs_resolves(page):
    """To a file that is there, and a heading that it has."""
    for link in re.findall(r"\]\(([^)\s]+)\)", text(page)):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", DOCS, ids=name_of)
def test_every_file_that_is_named_exists(page):
    """A path in backticks that begins with one of our rooms is there."""
    rooms = "picoclaw|clawbucket|core|loops|bus|rack|gateway|app|aggregator|bench|load|tests|docs"
    ours = re.compile(rf"({rooms})/[\w./*-]*|[\w./-]+\.(lock|toml)")
    for span in spans(text(page)):
        if ours.fullmatch(span):
            inside = (ROOT, ROOT / "clawbucket", page.parent)
            assert any(any(where.glob(span.rstrip("/"))) for where in inside), span


def test_every_decision_is_in_the_index():
    """With its own title, and every page numbered after the one before."""
    index = text(ROOT / "docs/adr/README.md")
    pages = sorted((ROOT / "docs/adr").glob("[0-9]*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        title = text(page).splitlines()[0].removeprefix(f"# {int(page.name[:4])}. ")
        status = re.search(r"Status: (\w+)", text(page))
        assert status, page
        assert f"| [{page.name[:4]}]({page.name}) | {title} | {status[1]} |" in index
