"""What a Runtime does when things go wrong or crowd, whichever backend it is on. See runtime_suite.py."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from picoclaw.errors import (
    BackendUnreachable,
    ConfigInvalid,
    ContextOverflow,
    ModelNotFound,
    PicoClawError,
    RuntimeBusy,
    TurnTimeout,
)
from picoclaw.session_lines import INTERRUPTED
from tests.binary_place import until
from tests.contract.runtime_rig import SESSION, Rig, echo, well_formed

ROOT = Path(__file__).parents[2]
LATE = 1.0
"""Seconds after its deadline in which a turn has to end."""


class ErrorContract:
    """The six errors, and what ends a turn early. Subclass it with a fixture ``rig``."""

    def test_a_broken_config_is_told_at_the_opening(self, rig: Rig):
        """The file, the key, and the nearest valid name."""
        path = rig.home / "config.json"
        path.write_text(path.read_text().replace("max_tokens", "max_tokns"))
        with pytest.raises(ConfigInvalid, match=r"config\.json.*max_tokns.*max_tokens") as caught:
            rig.open()
        assert (caught.value.code, caught.value.retryable) == ("config_invalid", False)

    def test_a_model_that_the_config_does_not_have_is_told_with_those_it_has(self, rig: Rig):
        """Nobody is asked, nothing is stored."""
        runtime = rig.open()
        with pytest.raises(ModelNotFound, match="second"):
            rig.ask(model="secnd")
        assert (runtime.sessions(), rig.bodies()) == ((), [])
        assert rig.ask(model="second").model == "second"
        assert rig.bodies()[-1]["model"] == "qwen3:0.6b"

    @pytest.mark.parametrize(
        ("script", "error", "retryable", "requests"),
        [
            ({"models": {}}, ModelNotFound, False, 1),
            ({"fail": {"status": 503, "times": 99}}, BackendUnreachable, True, 3),
            ({"fail": {"status": 401, "times": 99}}, BackendUnreachable, False, 1),
            ({"die": {"after": 1, "how": "rst", "times": 99}}, BackendUnreachable, True, 3),
            ({"die": {"after": 1, "how": "close", "times": 99}}, BackendUnreachable, True, 3),
            ({"overflow": 1}, ContextOverflow, False, 1),
        ],
        ids=["no model", "503", "401", "reset", "cut", "too long"],
    )
    def test_what_the_server_does_is_told_as_the_right_error(
        self, rig: Rig, script, error: type[PicoClawError], retryable: bool, requests: int
    ):
        """After as many attempts as make sense; and the next turn works, with the failed one closed."""
        rig.server.script(**script)
        with pytest.raises(error) as caught:
            rig.ask("one")
        assert type(caught.value) is error
        assert (caught.value.retryable, caught.value.exit_code) == (retryable, 1)
        assert "\n" not in str(caught.value)
        assert bool(caught.value.stderr) is not rig.embedded
        assert len(rig.bodies()) == requests
        rig.server.reset()
        assert rig.ask("two").text == echo("two", 1)
        assert rig.stored()[:2] == [("user", "one"), ("assistant", INTERRUPTED)]
        assert well_formed(rig.sent())

    def test_a_dead_server_is_unreachable(self, rig: Rig):
        """Retryable: the same turn works once it is back."""
        rig.open()
        rig.server.kill()
        with pytest.raises(BackendUnreachable, match="cannot be reached") as caught:
            rig.ask("one")
        assert caught.value.retryable
        rig.server.reset()
        assert rig.ask("two").text == echo("two", 1)

    def test_a_busy_server_is_asked_again(self, rig: Rig):
        """429 twice, then it answers: nobody hears of it."""
        rig.server.script(fail={"status": 429, "times": 2})
        assert rig.ask().text == echo("hello")
        assert len(rig.bodies()) == 3
        assert rig.stored() == [("user", "hello"), ("assistant", echo("hello"))]

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "script",
        [{"delay": 60.0}, {"slow": {"bytes": 1, "every": 0.05}}, {"fail": {"status": 503, "times": 9_999}}],
        ids=["slow", "trickling", "always busy"],
    )
    @pytest.mark.alone
    def test_the_deadline_is_kept_however_the_server_behaves(self, rig: Rig, script):
        """TurnTimeout, or the server's own refusal where waiting on makes no sense; never later."""
        rig.configure(max_llm_retries=100)
        rig.open()
        rig.server.script(**script)
        began = time.monotonic()
        with pytest.raises((TurnTimeout, BackendUnreachable)) as caught:
            rig.ask("one", seconds=0.7)
        took = time.monotonic() - began
        assert took < 0.7 + LATE
        assert caught.value.retryable
        if "fail" not in script:
            assert (caught.value.code, took >= 0.7) == ("turn_timeout", True)
        rig.server.reset()
        until(lambda: rig.server.seen()["open"] == 0)
        assert rig.ask("two").outcome == "ok"

    @pytest.mark.alone
    def test_a_cancelled_turn_ends_at_once_and_leaves_nothing(self, rig: Rig):
        """Within half a second; the server sees its caller go, and the session goes on."""
        runtime = rig.open()
        rig.server.script(delay=60.0)
        cancel = threading.Event()
        turn = rig.start("one", cancel=cancel)
        rig.asked()
        began = time.monotonic()
        cancel.set()
        with pytest.raises(TurnTimeout, match="cancelled"):
            turn.result(5.0)
        assert time.monotonic() - began < 0.5
        until(lambda: rig.server.seen()["open"] == 0, 1.0)
        assert runtime.status().in_flight == 0
        rig.server.reset()
        assert rig.ask("two").text == echo("two", 1)
        assert well_formed(rig.sent())

    @pytest.mark.slow
    @pytest.mark.alone
    def test_closing_ends_every_turn(self, rig: Rig):
        """Those that run, that wait for a place, and that wait for their session; nothing starts after."""
        runtime = rig.open(most_at_once=2)
        rig.server.script(delay=60.0)
        turns = [rig.start(session=name) for name in ("a", "b", "a", "c")]
        rig.asked(2)
        until(lambda: runtime.status().waiting == 2)
        began = time.monotonic()
        runtime.close()
        assert time.monotonic() - began < 2.0
        for turn in turns:
            with pytest.raises(RuntimeBusy, match="closed") as caught:
                turn.result(0.5)
            assert not caught.value.retryable
        until(lambda: rig.server.seen()["open"] == 0, 1.0)
        for act in (rig.ask, lambda: runtime.compact(SESSION)):
            with pytest.raises(RuntimeBusy, match="closed"):
                act()
        runtime.close()


class LoadContract:
    """Many turns at once: bounded, kept apart, in order."""

    @pytest.mark.slow
    @pytest.mark.alone
    def test_a_turn_that_gets_no_place_is_told_busy(self, rig: Rig):
        """At its deadline where all places are taken; at once where too many wait."""
        runtime = rig.open(most_at_once=1, most_waiting=1)
        rig.server.script(delay=60.0)
        cancel = threading.Event()
        turns = [rig.start(session="a", cancel=cancel)]
        rig.asked()
        began = time.monotonic()
        with pytest.raises(RuntimeBusy, match="1 other turns ran") as caught:
            rig.ask(session="b", seconds=0.2)
        assert caught.value.retryable
        with pytest.raises(RuntimeBusy, match="another turn held the session agent:main:a"):
            rig.ask(session="a", seconds=0.2)
        assert time.monotonic() - began < 0.4 + LATE
        turns.append(rig.start(session="b", cancel=cancel))
        until(lambda: runtime.status().waiting == 1)
        began = time.monotonic()
        with pytest.raises(RuntimeBusy, match="1 turns wait already"):
            rig.ask(session="c")
        assert time.monotonic() - began < 0.5
        cancel.set()
        for turn in turns:
            with pytest.raises(TurnTimeout, match="cancelled"):
                turn.result(5.0)
        status = runtime.status()
        assert (status.in_flight, status.waiting) == (0, 0)

    @pytest.mark.slow
    def test_a_session_with_a_queue_holds_up_no_other(self, rig: Rig):
        """Turns that wait for their session take no place from those whose session is free."""
        runtime = rig.open(most_at_once=2)
        rig.server.script(delay=60.0)
        cancel = threading.Event()
        queue = [rig.start(session="a", cancel=cancel) for _ in range(4)]
        rig.asked()
        until(lambda: runtime.status().waiting == 3)
        rig.server.script(delay=None)
        assert rig.ask("hi", session="b").text == echo("hi")
        cancel.set()
        for turn in queue:
            with pytest.raises(TurnTimeout):
                turn.result(5.0)

    @pytest.mark.slow
    @pytest.mark.alone
    def test_a_session_that_another_process_holds_is_busy_until_that_ends(self, rig: Rig):
        """RuntimeBusy at the deadline; killed, the other leaves a session that is repaired."""
        rig.open()
        command = [sys.executable, "-m", "tests.contract.session_child", "hold", str(rig.workspace)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
            try:
                assert child.stdout.readline() == b"held\n"
                began = time.monotonic()
                with pytest.raises(RuntimeBusy, match="agent:main:alpha") as caught:
                    rig.ask(session="alpha", seconds=0.2)
                assert time.monotonic() - began < 0.2 + LATE
                assert caught.value.retryable
            finally:
                child.kill()
        assert rig.ask("on", session="alpha").text == echo("on", 1)
        assert rig.stored("alpha")[:2] == [("user", "held"), ("assistant", INTERRUPTED)]

    @pytest.mark.slow
    @pytest.mark.alone
    def test_many_turns_at_once_are_bounded_and_lose_nothing(self, rig: Rig):
        """Never more than four at the server; every file has just its turns, whole and one after another."""
        sessions, each = (20, 10) if rig.embedded else (6, 4)
        runtime = rig.open(most_at_once=4)
        rig.server.script(delay=0.005 if rig.embedded else 0.1)
        turns = [
            rig.start(f"{session}.{number}", session=f"s{session}", seconds=60.0)
            for number in range(each)
            for session in range(sessions)
        ]
        for turn in turns:
            assert turn.result(60.0).outcome == "ok"
        seen = rig.server.seen()
        assert 2 <= seen["most_running"] <= seen["most_open"] <= 4
        assert seen["total"] == len(turns)
        for session in range(sessions):
            stored = rig.stored(f"s{session}")
            asked = [text for _, text in stored[::2]]
            assert sorted(asked) == sorted(f"{session}.{number}" for number in range(each))
            wanted = [(("user", text), ("assistant", echo(text, n))) for n, text in enumerate(asked)]
            assert stored == [line for turn in wanted for line in turn]
        status = runtime.status()
        assert (status.in_flight, status.waiting) == (0, 0)
