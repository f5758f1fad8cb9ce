"""What a Runtime does whichever backend carries its turns out. A test module gives the ``rig``."""

from __future__ import annotations

import time

import pytest

from picoclaw.errors import ContextOverflow
from picoclaw.runtime import LONGEST_REPLY, LONGEST_TEXT
from picoclaw.sentences import EMPTY, TOOL_LIMIT
from picoclaw.turns import Usage
from tests.contract.runtime_rig import KINDS, MODEL, SESSION, Rig, echo, well_formed, wish

HOSTILE = "\x1b[31mred\x1b[0m \x1b]0;title\x07\x00\x08b\u202eell\u2066 \u200bzero\r\nline\x9b2J \U000e0041end"
MILLION = 1_000_000


class TurnContract:
    """One turn, and one after another. Subclass it with a fixture ``rig``."""

    def test_a_reply_tells_all_that_is_known_of_the_turn(self, rig: Rig):
        """Text, outcome, session, model, backend, seconds; tokens and tools where the backend can know."""
        began = time.monotonic()
        reply = rig.ask("hello")
        assert (reply.text, reply.outcome) == (echo("hello"), "ok")
        assert (reply.session, reply.model) == (SESSION, MODEL)
        assert reply.backend == ("embedded" if rig.embedded else "binary")
        assert 0.0 < reply.seconds <= time.monotonic() - began
        assert reply.tool_calls == (0 if rig.embedded else None)
        if rig.embedded:
            assert reply.usage.prompt_tokens > 0
            assert reply.usage.completion_tokens == len(reply.text.split())
        else:
            assert reply.usage == Usage(None, None)

    def test_tokens_that_nobody_counted_are_none(self, rig: Rig):
        """Never 0, which would be a count."""
        rig.server.script(usage=False)
        assert rig.ask().usage == Usage(None, None)

    @pytest.mark.parametrize(
        ("typed", "said"),
        [
            ("hello", "hello"),
            ("h\u00e4l\nlo\t\u2028\U0001f99e\n", "h\u00e4l\nlo\t\u2028\U0001f99e\n"),
            ("/clear", "> /clear"),
            (" !ls", ">  !ls"),
            ("> quoted", "> quoted"),
            ("", "> "),
            ("a\0b\ud800", "ab?"),
            ("-d --help", "-d --help"),
        ],
    )
    def test_the_same_request_leaves_the_same_file(self, rig: Rig, typed: str, said: str):
        """Roles, contents and fields of the lines, and what the model is sent, are alike on any backend."""
        rig.ask(typed)
        rig.ask("and then")
        wanted = [
            ("user", said), ("assistant", echo(said)),
            ("user", "and then"), ("assistant", echo("and then", 1)),
        ]  # fmt: skip
        assert rig.stored() == wanted
        assert [(m["role"], m["content"]) for m in rig.sent()] == wanted[:3]
        assert {tuple(sorted(line)) for line in rig.lines()} == {("content", "created_at", "role")}
        shown = typed.replace("\0", "").replace("\ud800", "?").replace("\u2028", "\n")
        assert rig.open().history(SESSION)[0].content == shown

    def test_a_reply_is_stored_as_the_model_gave_it_and_shown_trimmed(self, rig: Rig):
        """What the model said comes back to it letter for letter, as its server's prefix cache needs."""
        rig.server.script(replies=["  bug in the rain\n six legs \n"])
        assert rig.ask().text == "bug in the rain\n six legs"
        assert rig.stored()[-1] == ("assistant", "  bug in the rain\n six legs \n")

    def test_an_empty_reply_is_an_outcome(self, rig: Rig):
        """No text, no error; the file has upstream's sentence, and the next turn works."""
        rig.server.script(empty=True)
        reply = rig.ask("one")
        assert (reply.text, reply.outcome) == ("", "empty")
        assert rig.stored() == [("user", "one"), ("assistant", EMPTY)]
        rig.server.script(empty=None)
        assert rig.ask("two").text == echo("two", 1)

    def test_a_reply_cut_by_max_tokens_is_an_outcome(self, rig: Rig):
        """Upstream's command line does not tell; there it is as good as any other."""
        rig.server.script(length=True)
        reply = rig.ask("hello")
        assert reply.text == 'You said "hello"'[:8]
        assert reply.outcome == ("truncated" if rig.embedded else "ok")

    def test_tools_stand_in_the_session_between_question_and_answer(self, rig: Rig):
        """The wish and the result are lines of the file, and the model sees both when it goes on."""
        rig.open()
        (rig.workspace / "notes").write_text("the hill is ours")
        rig.server.script(replies=[wish("read_file", path="notes"), "done"])
        reply = rig.ask("read it")
        assert (reply.text, reply.outcome) == ("done", "ok")
        assert reply.tool_calls == (1 if rig.embedded else None)
        user, asked, result, answer = rig.lines()
        assert [line["role"] for line in rig.lines()] == ["user", "assistant", "tool", "assistant"]
        assert asked["tool_calls"][0]["function"]["name"] == "read_file"
        assert result["tool_call_id"] == asked["tool_calls"][0]["id"]
        assert "the hill is ours" in result["content"]
        assert (user["content"], answer["content"]) == ("read it", "done")
        assert [m["role"] for m in rig.sent()] == ["user", "assistant", "tool"]
        assert rig.ask("on").text == echo("on", 1)
        assert well_formed(rig.sent())

    def test_wanting_tools_for_ever_is_an_outcome(self, rig: Rig):
        """After max_tool_iterations the turn ends, and the session is whole."""
        rig.configure(max_tool_iterations=2)
        rig.server.script(replies=[wish("read_file", path="none")] * 2)
        reply = rig.ask("read")
        assert (reply.text, reply.outcome) == (TOOL_LIMIT, "tool_limit")
        assert [role for role, _ in rig.stored()] == ["user", *["assistant", "tool"] * 2, "assistant"]
        assert rig.ask("on").outcome == "ok"
        assert well_formed(rig.sent())

    def test_hostile_text_of_a_model_comes_out_clean(self, rig: Rig):
        """No escape sequence, control, bidi or invisible character, in the reply as in the history."""
        rig.server.script(replies=[HOSTILE])
        clean = "red bell zero\nline end"
        assert rig.ask().text == clean
        assert rig.open().history(SESSION)[-1].content == clean
        assert rig.ask("on").text == echo("on", 1)

    @pytest.mark.slow
    def test_a_reply_of_a_million_characters_is_bounded(self, rig: Rig):
        """In what is handed on and in the history; the session goes on after it."""
        rig.server.script(huge=MILLION)
        reply = rig.ask()
        assert len(reply.text) == LONGEST_REPLY
        assert len(rig.open().history(SESSION)[-1].content) == LONGEST_REPLY
        rig.server.script(huge=None)
        assert rig.ask("on").outcome == "ok"
        assert rig.sent()[-1]["content"] == "on"


class SessionContract:
    """Conversations: kept apart, kept, handed over, shortened."""

    def test_sessions_are_kept_apart(self, rig: Rig):
        """Each turn sees its own session's past alone."""
        for before in range(2):
            for name in ("agent:main:rico", "agent:main:dizzy", "sk_v1_carmen"):
                assert rig.ask("hi", session=name).text == echo("hi", before)

    def test_plain_names_do_not_fall_together(self, rig: Rig):
        """Names that upstream would send into one shared session are a session each, and stay it."""
        names = ("a b", "a-b", "A b", "main", "agent:main:main", "bob", "a/b")
        keys = {rig.ask("hi", session=name).session for name in names}
        assert len(keys) == len(names)
        assert "agent:main:main" not in keys
        assert rig.ask("hi", session="bob").text == echo("hi", 1)
        assert rig.ask("hi", session="agent:main:bob").text == echo("hi", 2)

    def test_either_backend_goes_on_where_another_stopped(self, rig: Rig):
        """One store for all: whoever answers has read every earlier turn, over new runtimes too."""
        first = KINDS.index(rig.kind)
        for number in range(4):
            rig.kind = KINDS[(first + number) % len(KINDS)]
            rig.configure()
            rig.open()
            assert rig.ask(f"turn {number}").text == echo(f"turn {number}", number)
            assert well_formed(rig.sent())
            assert len(rig.sent()) == 2 * number + 1
        assert [role for role, _ in rig.stored()] == ["user", "assistant"] * 4

    def test_sessions_and_history_tell_what_is_stored(self, rig: Rig):
        """The latest used first; a session that does not exist has no history."""
        runtime = rig.open()
        assert runtime.sessions() == ()
        rig.ask("one", session="alpha")
        rig.ask("two", session="beta")
        rig.ask("three", session="alpha")
        assert [(s.key, s.messages) for s in runtime.sessions()] == [
            ("agent:main:alpha", 4), ("agent:main:beta", 2),
        ]  # fmt: skip
        assert [(m.role, m.content) for m in runtime.history("beta")] == rig.stored("beta")
        assert all(m.created_at for m in runtime.history("beta"))
        assert runtime.history("gamma") == ()

    def test_clear_forgets_a_session_and_no_other(self, rig: Rig):
        """The next turn begins anew; clearing what is not there is no error."""
        runtime = rig.open()
        rig.ask("one", session="alpha")
        rig.ask("one", session="beta")
        runtime.clear("alpha")
        runtime.clear("gamma")
        assert runtime.history("alpha") == ()
        assert rig.ask("two", session="alpha").text == echo("two", 0)
        assert rig.ask("two", session="beta").text == echo("two", 1)

    def test_compact_summarises_now(self, rig: Rig):
        """Older messages are gone from the file; what is known of them is in the next prompt."""
        runtime = rig.open()
        for text in ("one", "two", "three"):
            rig.ask(text)
        rig.server.script(replies=["they counted to three"])
        done = runtime.compact(SESSION)
        assert (done.how, done.dropped, done.kept) == ("summarised", 2, 4)
        assert rig.ask("four").text == echo("four", 2)
        assert "they counted to three" in rig.system().partition("CONTEXT_SUMMARY: ")[2]

    def test_compact_drops_and_says_so_where_the_model_fails(self, rig: Rig):
        """A dead server must not let a session grow for ever."""
        runtime = rig.open()
        for text in ("one", "two", "three"):
            rig.ask(text)
        rig.server.kill()
        assert runtime.compact(SESSION).how == "dropped"
        assert "2 older messages were dropped" in runtime.sessions()[0].summary
        assert runtime.history(SESSION)[0].content == "two"

    def test_a_long_session_is_compacted_after_the_turn(self, rig: Rig):
        """More than summarize_message_threshold messages: the older are summarised, under the same lock."""
        rig.configure(summarize_message_threshold=4)
        rig.ask("one")
        rig.ask("two")
        rig.server.script(replies=["third", "they met and counted"])
        assert rig.ask("three").text == "third"
        assert [text for role, text in rig.stored() if role == "user"] == ["two", "three"]
        rig.ask("four")
        assert well_formed(rig.sent())
        assert "they met and counted" in rig.system().partition("CONTEXT_SUMMARY: ")[2]

    def test_a_long_session_that_the_model_cannot_summarise_is_shortened_all_the_same(self, rig: Rig):
        """The turn is as good as any; the prompt says how many messages are gone."""
        rig.configure(summarize_message_threshold=4)
        rig.ask("one")
        rig.ask("two")
        rig.server.script(replies=["third", ""])
        reply = rig.ask("three")
        assert (reply.text, reply.outcome) == ("third", "ok")
        rig.ask("four")
        assert len(rig.sent()) == 5
        assert "2 older messages were dropped" in rig.system().partition("CONTEXT_SUMMARY: ")[2]

    def test_status_tells_what_is_so(self, rig: Rig):
        """Backend, model, place, load; with a probe also what is wrong with the model's server."""
        status = rig.open(most_at_once=3).status(2.0)
        assert status.backend == ("embedded" if rig.embedded else "binary")
        assert status.version not in ("", "unknown")
        assert (status.model, status.workspace) == (MODEL, str(rig.workspace))
        assert str(rig.server.port) in status.api_base
        assert (status.in_flight, status.waiting, status.most_at_once) == (0, 0, 3)
        assert status.problem is None
        runtime = rig.open()
        rig.server.script(models={"qwen3:0.6b": 1})
        assert MODEL in runtime.status(2.0).problem
        rig.server.kill()
        assert runtime.status().problem is None
        assert "cannot be reached" in runtime.status(2.0).problem

    def test_a_text_longer_than_any_is_refused_before_it_is_stored(self, rig: Rig):
        """Nothing of it reaches the session or the model."""
        runtime = rig.open()
        with pytest.raises(ContextOverflow, match="characters"):
            rig.ask("x" * (LONGEST_TEXT + 1))
        assert runtime.sessions() == ()
        assert rig.bodies() == []
