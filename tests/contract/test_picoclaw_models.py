"""The two model adapters against a fake Ollama over real sockets: answers, tools, refusals."""

from __future__ import annotations

import pytest

from bench.rack import free_port
from picoclaw.deadline import Deadline
from picoclaw.errors import BackendUnreachable, ConfigInvalid, ContextOverflow, ModelNotFound
from picoclaw.model import ToolsRefused
from picoclaw.models import model_of
from picoclaw.turns import Message, ToolCall, Usage
from tests.contract.model_talk import ASKED, BOTH, Talk, call, entry


@BOTH
def test_an_answer_is_text_finish_and_counted_tokens(talk: Talk):
    """The plain case, and the request that it took."""
    answer = talk.ask("hello there")
    assert answer.text == 'You said "hello there" after 0 earlier messages.'
    assert (answer.finish, answer.tool_calls) == ("stop", ())
    assert answer.usage == Usage(3, 8)
    (body,) = talk.server.bodies(talk.path)
    assert body["model"] == "smollm2:135m"
    assert not body.get("tools")
    sent = body["options"] if talk.provider == "ollama" else body
    assert (sent["temperature"], sent.get("num_predict", sent.get("max_tokens"))) == (0.5, 99)
    assert sent.get("num_ctx") == (2_048 if talk.provider == "ollama" else None)


@BOTH
def test_tokens_that_the_server_did_not_count_are_unknown(talk: Talk):
    """None, never 0."""
    talk.server.script(usage=False)
    assert talk.ask().usage == Usage(None, None)
    talk.server.script(usage="partial")
    assert talk.ask().usage == Usage(2, None)


@BOTH
def test_an_empty_and_a_cut_answer_are_told_apart(talk: Talk):
    """Empty text is no error here; a limit that was hit is finish "length"."""
    talk.server.script(empty=True)
    assert (talk.ask().text, talk.ask().finish) == ("", "stop")
    talk.server.script(empty=None, length=True)
    assert (talk.ask().text, talk.ask().finish) == ("You said", "length")


@BOTH
def test_tools_are_offered_asked_for_and_their_results_sent_back(talk: Talk):
    """A whole round: the call comes parsed, and its result goes back beside it."""
    talk.server.script(
        replies=[{"text": "", "tool_calls": [{"name": "read_file", "arguments": {"path": "a"}}]}]
    )
    model = talk.model()
    asked = Message("user", "read a")
    answer = model.chat(call(asked, tools=ASKED), Deadline(10))
    (wanted,) = answer.tool_calls
    assert (answer.finish, wanted.name, wanted.arguments) == ("tool_calls", "read_file", {"path": "a"})
    assert wanted.id
    said = Message("assistant", "", tool_calls=(wanted,))
    model.chat(call(asked, said, Message("tool", "A!", tool_call_id=wanted.id), tools=ASKED), Deadline(10))
    first, second = talk.server.bodies(talk.path)
    assert first["tools"][0]["function"]["name"] == "read_file"
    assert second["messages"][1]["tool_calls"][0]["function"]["name"] == "read_file"
    result = second["messages"][2]
    assert (result["role"], result["content"]) == ("tool", "A!")
    assert result.get("tool_call_id", result.get("tool_name")) in {wanted.id, "read_file"}


@BOTH
@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"name": "read_file", "arguments": {"path": "a"}}', ""),
        ('```json\n{"name": "read_file", "parameters": {"path": "a"}}\n```', ""),
        ('[{"function": {"name": "read_file", "arguments": "{\\"path\\": \\"a\\"}"}}]', ""),
        ('Wait.\n<tool_call>\n{"name": "read_file", "arguments": {"path": "a"}}\n</tool_call>', "Wait."),
        ('<tool_call>{"name": "read_file", "arguments": {"path": "a"}}', ""),
    ],
)
def test_a_tool_call_in_the_text_is_one_where_tools_were_offered(talk: Talk, text: str, left: str):
    """Small models print their calls (upstream's #2482); without the offer it is what they said."""
    talk.server.script(replies=[text, text])
    answer = talk.ask(tools=ASKED)
    assert (answer.text, answer.finish) == (left, "tool_calls")
    assert [(c.name, c.arguments) for c in answer.tool_calls] == [("read_file", {"path": "a"})]
    plain = talk.ask()
    assert (plain.text, plain.tool_calls, plain.finish) == (text, (), "stop")


@BOTH
@pytest.mark.parametrize(
    "text",
    [
        '{"name": "rm", "arguments": {"path": "a"}}',
        'Say {"name": "read_file", "arguments": {"path": "a"}} to me',
        '{"name": "read_file"}',
        "<tool_call>not json</tool_call>",
        "[]",
    ],
)
def test_text_that_only_looks_like_a_call_stays_text(talk: Talk, text: str):
    """A name that was not offered, JSON within prose, or no arguments: nothing is run."""
    talk.server.script(replies=[text])
    answer = talk.ask(tools=ASKED)
    assert (answer.text, answer.tool_calls, answer.finish) == (text, (), "stop")


@pytest.mark.parametrize("provider", ["openai"])
def test_arguments_that_are_broken_json_are_kept_raw(talk: Talk):
    """The tool can then say what is missing, and the model mend it (as upstream)."""
    broken = {"text": "", "tool_calls": [{"name": "read_file", "arguments": '{"path": '}]}
    talk.server.script(replies=[broken])
    assert talk.ask(tools=ASKED).tool_calls == (ToolCall("call_0", "read_file", {"raw": '{"path": '}),)


@BOTH
def test_a_model_that_takes_no_tools_says_so(talk: Talk):
    """ToolsRefused, and without tools it answers."""
    talk.server.script(refuse_tools=True)
    with pytest.raises(ToolsRefused):
        talk.ask(tools=ASKED)
    assert talk.ask().finish == "stop"


@BOTH
@pytest.mark.parametrize("words", ["old", "new"])
def test_a_missing_model_is_told_with_what_mends_it(talk: Talk, words: str):
    """In both of Ollama's wordings; the native adapter says what to type."""
    talk.server.script(not_found=words)
    with pytest.raises(ModelNotFound) as caught:
        talk.ask(model="nosuch:1b")
    assert ("ollama pull nosuch:1b" in str(caught.value)) == (talk.provider == "ollama")
    assert talk.server.url in str(caught.value)
    assert not caught.value.retryable


@BOTH
def test_a_conversation_that_is_too_long_is_an_overflow(talk: Talk):
    """By the words of llama.cpp and Ollama, whichever status they come with."""
    talk.server.script(overflow=10)
    with pytest.raises(ContextOverflow, match="context_window"):
        talk.ask("x" * 20)


@BOTH
@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        (408, True),
        (429, True),
        (500, True),
        (503, True),
        (400, False),
        (401, False),
        (418, False),
        (307, False),
    ],
)
def test_a_refusal_says_whether_another_attempt_makes_sense(talk: Talk, status: int, retryable: bool):
    """Upstream's list: 408, 429 and 5xx. A redirect is never followed."""
    talk.server.script(fail={"status": status, "words": "no \x1b[31mway"})
    with pytest.raises(BackendUnreachable) as caught:
        talk.ask()
    assert caught.value.retryable == retryable
    assert str(status) in str(caught.value)
    assert talk.server.url in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(talk.server.requests(talk.path)) == 1


@BOTH
def test_nobody_there_says_the_address_and_what_to_type(talk: Talk):
    """A refused connection may be taken later."""
    base = f"http://127.0.0.1:{free_port()}/v1"
    for base_url in (base, "http://no-such-host.invalid:1/v1"):
        with pytest.raises(BackendUnreachable) as caught:
            talk.ask(base=base_url)
        assert caught.value.retryable
        assert base_url.removesuffix("/v1") in str(caught.value)
        assert ("ollama serve" in str(caught.value)) == (talk.provider == "ollama")


@BOTH
@pytest.mark.parametrize("how", ["rst", "close"])
@pytest.mark.parametrize("after", [0, 1])
def test_an_answer_that_breaks_off_is_no_answer(talk: Talk, how: str, after: int):
    """Half a text is never taken for a whole one, and another attempt may do better."""
    talk.server.script(die={"after": after, "how": how})
    with pytest.raises(BackendUnreachable) as caught:
        talk.ask()
    assert caught.value.retryable
    assert talk.ask().finish == "stop"


@pytest.mark.parametrize("provider", ["ollama"])
def test_a_stream_that_ends_in_good_order_before_it_is_done_is_no_answer(talk: Talk):
    """Only Ollama's own "done" makes a text whole."""
    talk.server.script(die={"after": 2, "how": "end"})
    with pytest.raises(BackendUnreachable) as caught:
        talk.ask()
    assert caught.value.retryable


@BOTH
def test_a_redirect_is_not_followed(talk: Talk):
    """A conversation goes to the address that was given and to no other."""
    talk.server.script(fail={"status": 307, "location": f"{talk.server.url}/api/version"})
    with pytest.raises(BackendUnreachable, match="redirect"):
        talk.ask()
    assert talk.server.requests("/api/version") == []


@BOTH
def test_something_else_at_the_address_is_told_as_that(talk: Talk):
    """A web page is no model's answer; trying again would not change it."""
    talk.server.script(garbage=True)
    with pytest.raises(BackendUnreachable, match="not as") as caught:
        talk.ask()
    assert not caught.value.retryable


@pytest.mark.parametrize("provider", ["openai"])
def test_the_next_key_is_taken_when_one_is_refused_and_kept(talk: Talk):
    """Each key once an attempt, and the one that was taken goes first the next time."""
    talk.server.script(fail={"status": 429, "times": 1})
    model = talk.model(api_keys=("k1", "k2"))
    for _ in range(2):
        model.chat(call(Message("user", "hi")), Deadline(10))
    sent = [one["headers"]["authorization"] for one in talk.server.requests(talk.path)]
    assert sent == ["Bearer k1", "Bearer k2", "Bearer k2"]


@BOTH
def test_extra_body_reaches_the_server(talk: Talk):
    """Merged into the request; with Ollama's own API into its options, but for fields of its own."""
    talk.ask(extra_body={"top_p": 0.3, "keep_alive": "5m", "stream": True, "temperature": 0.1})
    (body,) = talk.server.bodies(talk.path)
    sent = body["options"] if talk.provider == "ollama" else body
    assert (sent["top_p"], sent["temperature"], body["keep_alive"]) == (0.3, 0.1, "5m")


@BOTH
def test_a_probe_tells_a_model_that_is_there_from_one_that_is_not(talk: Talk):
    """And a server that is there from none."""
    talk.model().probe(Deadline(5))
    talk.model(model="tiny").probe(Deadline(5))
    with pytest.raises(ModelNotFound):
        talk.model(model="nosuch").probe(Deadline(5))
    with pytest.raises(BackendUnreachable):
        talk.model(f"http://127.0.0.1:{free_port()}/v1").probe(Deadline(5))


@BOTH
@pytest.mark.parametrize("base", ["", "  ", "ftp://h/v1", "http://"])
def test_an_address_that_is_none_is_refused_before_anything_is_asked(provider: str, base: str):
    """With a sentence that shows one that would do."""
    with pytest.raises(ConfigInvalid):
        model_of(entry(base, provider))
