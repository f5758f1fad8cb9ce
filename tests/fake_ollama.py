"""A fake Ollama in a process of its own: ``python -m tests.fake_ollama --port 0`` prints its port.

Native and OpenAI endpoints, several at once. POST /_script changes how it behaves
(tests/fake_ollama_script.py), GET /_requests tells what it was asked, POST /_reset forgets both.
SIGTERM ends it. A caller that goes away frees its place at once, as with the real one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.fake_ollama_replies import Asked, Reply, default, scripted
from tests.fake_ollama_script import Desk

VERSION = "0.12.3"
_LONGEST_BODY = 8 * 1024 * 1024
_CREATED = "2026-01-01T00:00:00.000000Z"
_LOOK = 0.02
"""Seconds between looks whether a caller still waits."""


class Gone(Exception):  # noqa: N818
    """The caller went away, or the script says to break off here."""


class Refusal(Exception):  # noqa: N818
    """An answer that is an error."""

    def __init__(self, status: int, words: str, location: str = "") -> None:
        super().__init__(words)
        self.status, self.words, self.location = status, words, location


class Server(ThreadingHTTPServer):
    """Takes many at once, and does not wait for them at its end."""

    daemon_threads = True
    request_queue_size = 512
    desk: Desk

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that left is no news; all else is a fault of this file."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server
    entry: dict[str, Any]
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_DELETE = do_GET  # noqa: N815 - the library's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Not in a test's output."""

    def _serve(self) -> None:
        self.entry = {}
        length = int(self.headers.get("Content-Length") or 0)
        if length > _LONGEST_BODY:
            self.close_connection = True
            self._json(413, {"error": "request body too large"})
            return
        raw = self.rfile.read(length)
        desk = self.server.desk
        try:
            body = json.loads(raw) if raw else {}
        except ValueError:
            self._json(400, {"error": "invalid JSON"})
            return
        if self.path.startswith("/_"):
            self._control(desk, body)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        with desk.record(self.command, self.path, body, headers) as self.entry:
            self.entry["peer"] = self.client_address[1]
            try:
                self._route(desk, body)
            except Refusal as refused:
                told: Any = refused.words
                if self.path.startswith("/v1"):
                    told = {"message": refused.words, "type": "api_error", "param": None, "code": None}
                self._json(refused.status, {"error": told}, refused.location)
            except (Gone, OSError):
                self.entry["gone"] = True
                self.close_connection = True

    def _control(self, desk: Desk, body: Any) -> None:
        if self.path == "/_requests":
            self._json(200, desk.told())
        elif self.path == "/_reset":
            desk.reset()
            self._json(200, {})
        else:
            try:
                desk.set(body)
            except KeyError as unknown:
                self._json(400, {"error": f"no such behaviour: {unknown}"})
            else:
                self._json(200, {})

    def _route(self, desk: Desk, body: dict[str, Any]) -> None:
        models = desk.script.models
        match (self.command, self.path):
            case ("POST", "/api/chat"):
                self._generate(desk, body, Asked(body.get("model", ""), body.get("messages") or [],
                    body.get("tools") or [], (body.get("options") or {}).get("num_predict")))  # fmt: skip
            case ("POST", "/api/generate"):
                asked = [{"role": "system", "content": body.get("system", "")},
                         {"role": "user", "content": body.get("prompt", "")}]  # fmt: skip
                self._generate(desk, body, Asked(body.get("model", ""), asked))
            case ("POST", "/v1/chat/completions"):
                self._generate(desk, body, Asked(body.get("model", ""), body.get("messages") or [],
                    body.get("tools") or [], body.get("max_tokens")))  # fmt: skip
            case ("GET", "/api/tags"):
                self._misbehave(desk, listing=True)
                listed = [{"name": n, "model": n, "size": s, "digest": "0" * 64, "modified_at": _CREATED}
                          for n, s in models.items()]  # fmt: skip
                self._json(200, {"models": listed})
            case ("GET", "/v1/models"):
                self._misbehave(desk, listing=True)
                self._json(200, {"object": "list", "data": [{"id": n, "object": "model"} for n in models]})
            case ("GET", "/api/version"):
                self._misbehave(desk, listing=True)
                self._json(200, {"version": VERSION})
            case ("POST", "/api/show"):
                name = self._known(desk, body.get("model") or body.get("name") or "")
                self._json(200, {"details": {"family": "fake"}, "model_info": {}, "size": models[name]})
            case ("DELETE", "/api/delete"):
                del models[self._known(desk, body.get("model") or body.get("name") or "")]
                self._json(200, {})
            case ("POST", "/api/pull"):
                self._start("application/x-ndjson")
                self._body(self._pull(desk, body.get("model") or body.get("name") or ""))
            case _:
                raise Refusal(404, "404 page not found")

    def _misbehave(self, desk: Desk, *, listing: bool = False) -> None:
        script = desk.script
        if listing and not (script.fail and script.fail.get("all")):
            return
        told = desk.spend("fail")
        if told:
            raise Refusal(told.get("status", 500), told.get("words", "a bad day"), told.get("location", ""))

    def _known(self, desk: Desk, name: str) -> str:
        full = name if ":" in name else f"{name}:latest"
        if full in desk.script.models:
            return full
        words = f'model "{name}" not found, try pulling it first'
        raise Refusal(404, words if desk.script.not_found == "old" else f"model '{name}' not found")

    def _generate(self, desk: Desk, body: dict[str, Any], asked: Asked) -> None:
        """Everything that goes wrong before an answer, and then the answer."""
        script = desk.script
        with desk.place(self.entry):
            self._wait(script.delay)
            self._misbehave(desk)
            self._known(desk, asked.model)
            if asked.tools and script.refuse_tools:
                raise Refusal(400, f"registry.ollama.ai/library/{asked.model} does not support tools")
            if script.overflow and asked.size() >= script.overflow:
                words = f"request ({asked.size()} tokens) exceeds the available context size (64 tokens), try increasing it"  # noqa: E501
                raise Refusal(400, words)
            reply = self._reply(desk, asked)
            native = self.path.startswith("/api")
            stream = body.get("stream", native)
            if script.garbage:
                self._start("text/html")
                self._body([b"<html>It works!</html>"])
                return
            lines = (
                self._native(reply, asked, script.usage)
                if native
                else self._openai(reply, asked, script.usage)
            )
            if not stream:
                *_, whole = lines
                self._start("application/json")
                half = len(whole) // 2
                self._body([whole[:half], whole[half:]])
            elif native:
                self._start("application/x-ndjson")
                self._body(line + b"\n" for line in lines[:-1])
            else:
                self._start("text/event-stream")
                self._body(b"data: " + line + b"\n\n" for line in (*lines[:-1], b"[DONE]"))

    def _reply(self, desk: Desk, asked: Asked) -> Reply:
        script, told = desk.script, desk.next_reply()
        reply = default(asked) if told is None else scripted(told)
        if script.empty:
            return Reply("")
        if script.huge:
            return Reply("x" * script.huge)
        if script.length:
            return Reply(" ".join(reply.text.split()[:2]), reason="length")
        if reply.tool_calls and script.tool_text:
            name, arguments = reply.tool_calls[0]
            return Reply(json.dumps({"name": name, "arguments": arguments}))
        return reply

    def _native(self, reply: Reply, asked: Asked, usage: bool | str) -> list[bytes]:
        """The lines of a stream, and last the answer as one."""
        chat = self.path == "/api/chat"
        head = {"model": asked.model, "created_at": _CREATED}
        counts = {"prompt_eval_count": asked.size() // 4 + 1, "eval_count": len(reply.text.split())}
        if usage == "partial":
            del counts["eval_count"]
        end = {"done": True, "done_reason": reply.reason, "total_duration": 1, **(counts if usage else {})}
        calls = [{"function": {"name": n, "arguments": a}} for n, a in reply.tool_calls]

        def one(text: str, calls: list[Any], rest: dict[str, Any]) -> bytes:
            said: dict[str, Any] = {"response": text}
            if chat:
                said = {"message": {"role": "assistant", "content": text}}
                if calls:
                    said["message"]["tool_calls"] = calls
            return json.dumps({**head, **said, **rest}).encode()

        lines = [one(piece, [], {"done": False}) for piece in _pieces(reply.text)]
        lines += [one("", calls, {"done": False})] if calls else []
        return [*lines, one("", [], end), one(reply.text, calls, end)]

    def _openai(self, reply: Reply, asked: Asked, usage: bool | str) -> list[bytes]:
        """The events of a stream, and last the answer as one."""
        calls = [{"id": f"call_{i}", "index": i, "type": "function",
                  "function": {"name": n, "arguments": a if isinstance(a, str) else json.dumps(a)}}
                 for i, (n, a) in enumerate(reply.tool_calls)]  # fmt: skip
        finish = "tool_calls" if calls else reply.reason
        head = {"id": "chatcmpl-1", "created": 1, "model": asked.model}
        counts = {"prompt_tokens": asked.size() // 4 + 1, "completion_tokens": len(reply.text.split())}
        if usage == "partial":
            del counts["completion_tokens"]
        told = {"usage": {**counts, "total_tokens": sum(counts.values())}} if usage else {}

        def delta(what: dict[str, Any], why: str | None = None, **rest: Any) -> bytes:
            choice = {"index": 0, "delta": what, "finish_reason": why}
            return json.dumps(
                {**head, "object": "chat.completion.chunk", "choices": [choice], **rest}
            ).encode()

        lines = [delta({"role": "assistant", "content": piece}) for piece in _pieces(reply.text)]
        lines += [delta({"tool_calls": calls})] if calls else []
        message: dict[str, Any] = {"role": "assistant", "content": reply.text}
        if calls:
            message["tool_calls"] = calls
        whole = {**head, "object": "chat.completion", **told,
                 "choices": [{"index": 0, "message": message, "finish_reason": finish}]}  # fmt: skip
        return [*lines, delta({}, finish, **told), json.dumps(whole).encode()]

    def _pull(self, desk: Desk, name: str) -> Iterator[bytes]:
        total = 1_000_000

        def line(**told: Any) -> bytes:
            return json.dumps(told).encode() + b"\n"

        yield line(status="pulling manifest")
        if name.startswith("missing"):
            yield line(error="pull model manifest: file does not exist")
            return
        for done in range(0, total + 1, total // 4):
            self._wait(10**6 if desk.script.pull_stalls else desk.script.pull_step)
            yield line(status="pulling 0123456789ab", digest="sha256:0", total=total, completed=done)
        yield line(status="verifying sha256 digest")
        desk.script.models[name if ":" in name else f"{name}:latest"] = total
        yield line(status="success")

    def _start(self, kind: str) -> None:
        self.entry["status"] = 200
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _body(self, parts: Iterable[bytes]) -> None:
        """Write it as chunks, in the manner that the script wants."""
        desk = self.server.desk
        die, slow = desk.spend("die"), desk.script.slow
        written = 0
        for whole in parts:
            size = int(slow["bytes"]) if slow else len(whole)
            for start in range(0, len(whole), size or 1):
                part = whole[start : start + size]
                if die and written >= die.get("after", 0):
                    self._break(die.get("how", "rst"))
                    return
                if slow:
                    self._wait(float(slow["every"]))
                self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
                written += 1
        if die:
            self._break(die.get("how", "rst"))
            return
        self.wfile.write(b"0\r\n\r\n")

    def _break(self, how: str) -> None:
        if how == "end":
            self.wfile.write(b"0\r\n\r\n")
            return
        if how == "rst":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        raise Gone

    def _wait(self, seconds: float) -> None:
        """That long, or until the caller has gone."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            ready, _, _ = select.select([self.connection], [], [], min(left, _LOOK))
            if ready and not self.connection.recv(1, socket.MSG_PEEK):
                raise Gone
            if ready:  # it sends more (pipelining): no reason not to wait
                time.sleep(min(_LOOK, max(0.0, until - time.monotonic())))

    def _json(self, status: int, told: Any, location: str = "") -> None:
        raw = json.dumps(told).encode()
        self.entry["status"] = status
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(raw)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(raw)


def _pieces(text: str) -> list[str]:
    """A text as a stream carries it: word by word, bounded for a huge one."""
    if len(text) > 20_000:
        return [text[start : start + 8_192] for start in range(0, len(text), 8_192)]
    words = text.split(" ")
    return [f" {word}" if number else word for number, word in enumerate(words)] if text else []


def _end_with_stdin(stop: threading.Event) -> None:
    while os.read(0, 1):  # not by sys.stdin, whose lock a thread must not hold at the end
        pass
    stop.set()


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; 0.0.0.0 in a container")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--parallel", type=int, default=64)
    parser.add_argument("--with-parent", action="store_true", help="end when stdin does")
    told = parser.parse_args()
    with Server((told.host, told.port), Handler) as server:
        server.desk = Desk(told.parallel, told.delay)
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        if told.with_parent:
            threading.Thread(target=_end_with_stdin, args=(stop,), daemon=True).start()
        print(server.server_address[1], flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            stop.wait()
        server.shutdown()
        thread.join()


if __name__ == "__main__":
    main()
