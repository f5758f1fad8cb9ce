"""The rooms and who may enter which: the house's import rules, read from the source."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("picoclaw", "clawbucket", "rack", "gateway", "app", "aggregator", "bench", "load")
LONGEST_ROOM = 420
"""Lines: "a room over about 400 lines is two rooms"."""

HOMES: dict[str, tuple[str, ...]] = {
    "pymemcache": ("clawbucket/bus/memcached.py",),
    "docker": ("rack/engines/docker_daemon.py",),
    "requests": ("rack/engines/docker_daemon.py",),
    "flask": ("app/", "aggregator/", "rack/api.py", "bench/"),
    "htmx_flask": ("app/",),
    "waitress": ("rack/",),
    "aiohttp": ("gateway/",),
    "uvloop": ("gateway/",),
    "ollama": ("picoclaw/ollama_",),
    "httpx": ("picoclaw/",),
    "httpcore": ("picoclaw/wire.py",),
    "yaml": ("picoclaw/secrets_file.py",),
    "gevent": (
        "clawbucket/wsgi.py",
        "app/__main__.py",
        "app/nursery.py",
        "aggregator/__main__.py",
        "bench/",
        "load/",
    ),
    "gunicorn": ("clawbucket/wsgi.py", "bench/"),
    "locust": (
        "load/locustfile.py",
        "load/checked.py",
        "load/viewers.py",
        "load/pollers.py",
        "load/operators.py",
        "load/chaotic.py",
    ),
    "click": ("clawbucket/cli/", "clawbucket/__main__.py", "bench/"),
    "rich": ("clawbucket/cli/", "bench/"),
}
"""Where alone a library may be imported."""

PICOCLAW_LIBRARIES = {"ollama", "httpx", "httpcore", "yaml"}
"""All that the agent needs beside the standard library."""
AGENT_USERS = ("picoclaw/", "clawbucket/agents/", "clawbucket/cli/models_command.py", "bench/")
"""Where alone picoclaw is imported."""

INNER = ("bus", "journal", "board", "loops", "codecs", "actions", "handoff")
ADAPTERS = (
    "clawbucket.bus.memcached", "clawbucket.bus.memory", "rack.client",
    "rack.engines.local", "rack.engines.docker", "rack.engines.sim", "clawbucket.handoff.peer_http",
)  # fmt: skip
COMPOSITION_ROOTS = (
    "app/services.py", "aggregator/services.py", "rack/engine_choice.py", "__main__.py", "clawbucket/cli/",
    "bench/",
)  # fmt: skip


def sources() -> list[Path]:
    """Every module of the programs."""
    return [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def imports(path: Path) -> Iterator[str]:
    """The full names that a module imports, from anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name(path: Path) -> str:
    """The path within the repository."""
    return path.relative_to(ROOT).as_posix()


def violations(rule) -> list[str]:
    """``file imports module`` for each import that breaks the rule."""
    return sorted({f"{name(p)} imports {m}" for p in sources() for m in imports(p) if rule(name(p), m)})


def test_core_imports_the_standard_library_only():
    """The rules know no clock, no I/O and no library."""
    impure = {"time", "random", "os", "socket", "threading", "subprocess", "secrets", "uuid", "asyncio"}

    def breaks(path: str, module: str) -> bool:
        if not path.startswith("clawbucket/core/") or module.startswith("clawbucket.core"):
            return False
        top = module.split(".", maxsplit=1)[0]
        if module in {"random", "random.Random"}:
            return False  # the type of the rng that is passed in; see the next test
        return top not in sys.stdlib_module_names or top in impure

    assert violations(breaks) == []


def test_core_makes_no_randomness_of_its_own():
    """Nothing in core calls into the random module; an rng is passed in."""
    for path in (ROOT / "clawbucket/core").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            assert not (isinstance(called, ast.Name) and called.id == "Random"), path


def test_ports_keys_and_settings_import_core_only():
    """The ground floor stands on the rules alone."""
    ground = ("clawbucket/ports.py", "clawbucket/keys.py", "clawbucket/settings.py")
    assert (
        violations(
            lambda p, m: p in ground and m.startswith("clawbucket") and not m.startswith("clawbucket.core")
        )
        == []
    )


def test_inner_rooms_never_import_an_adapter():
    """Bus, journal, board, loops and handoff know the ports, not who stands behind them."""

    def breaks(path: str, module: str) -> bool:
        parts = path.split("/")
        inner = parts[0] == "clawbucket" and parts[1].removesuffix(".py") in INNER
        return inner and (
            module in ADAPTERS or module.split(".", maxsplit=1)[0] in {"rack", "app", "gateway", "aggregator"}
        )

    assert violations(breaks) == []


@pytest.mark.parametrize("library", sorted(HOMES))
def test_a_library_is_imported_in_its_home_only(library):
    """Each library stays behind the one room that adapts it."""
    assert violations(lambda p, m: m.split(".")[0] == library and not p.startswith(HOMES[library])) == []


def test_picoclaw_is_usable_by_itself():
    """The agent imports nothing of the swarm's, and no library but its four."""
    allowed = sys.stdlib_module_names | PICOCLAW_LIBRARIES | {"picoclaw"}
    assert (
        violations(lambda p, m: p.startswith("picoclaw/") and m.split(".", maxsplit=1)[0] not in allowed)
        == []
    )


def test_picoclaw_is_imported_where_agents_are_kept_only():
    """The swarm reaches its agents by a port; one room puts picoclaw behind it."""
    assert violations(lambda p, m: m.split(".")[0] == "picoclaw" and not p.startswith(AGENT_USERS)) == []


def test_load_speaks_http_only():
    """The Locust pack imports nothing else of ours; its commands and the reader of its reports import it."""
    ours = set(ROOMS) - {"load"}
    assert violations(lambda p, m: p.startswith("load/") and m.split(".", maxsplit=1)[0] in ours) == []
    users = ("clawbucket/cli/load_", "bench/mixed.py")
    outside = violations(lambda p, m: m.split(".", maxsplit=1)[0] == "load" and not p.startswith("load/"))
    assert [told for told in outside if not told.startswith(users)] == []


def test_adapters_are_named_in_composition_roots_only():
    """Who talks to memcached, the rack manager or other racks is decided where a program is put together."""

    def breaks(path: str, module: str) -> bool:
        allowed = any(path.endswith(root) or path.startswith(root) for root in COMPOSITION_ROOTS)
        kin = path == "rack/engines/sim.py" and module == "rack.engines.local"  # the one is the other's heir
        return module in ADAPTERS and not allowed and not kin

    assert violations(breaks) == []


def test_the_programs_do_not_import_each_other():
    """Replica, aggregator, gateway and rack manager share clawbucket/, and the rack's client."""

    def breaks(path: str, module: str) -> bool:
        here, there = path.split("/", maxsplit=1)[0], module.split(".", maxsplit=1)[0]
        programs = {"app", "aggregator", "gateway", "rack"}
        shared = module.startswith("rack.client")
        return here in programs and there in programs and here != there and not shared

    assert violations(breaks) == []


def test_the_environment_is_read_in_settings_only():
    """``os.environ`` has one reader; who starts a process may hand the environment on."""
    starters = (
        "clawbucket/settings.py", "clawbucket/cli/", "rack/engines/", "app/nursery.py", "bench/",
        "picoclaw/cli.py",
    )  # fmt: skip
    readers = [
        name(path)
        for path in sources()
        if not name(path).startswith(starters)
        and any(
            isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "os.getenv", "os.putenv"}
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
        )
    ]
    assert readers == []


def test_no_room_is_too_large():
    """A room over about 400 lines is two rooms."""
    sizes = {name(p): len(p.read_text("utf-8").splitlines()) for p in sources()}
    assert {path: lines for path, lines in sizes.items() if lines > LONGEST_ROOM} == {}


def test_every_test_says_what_it_holds():
    """Each test has a docstring that states a behaviour."""
    silent = [
        f"{name(path)}:{node.lineno}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]  # fmt: skip
    assert silent == []
