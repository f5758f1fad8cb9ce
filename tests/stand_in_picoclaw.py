"""A stand-in for upstream's ``picoclaw`` executable: same flags, files, requests, stdout, stderr, exit codes.

It is a program of its own, run with ``python -S -E`` (tests/stand_in_binary.py): nothing of picoclaw/ is
imported, so that the two can be compared. What it does wrong, it is told to by STAND_IN_… variables:

HANG=1: never answer, once the message is saved. FORK=1: leave a sleeping grandchild that holds stdout.
PIDS=file: both pids, when FORK is done. STUBBORN=1: ignore SIGTERM, grandchild too. GARBAGE=1: no marker.
FLOOD=N: N megabytes before anything else. EXIT=N: exit so at once. STDERR=text: fail with "Error: text".
DIE=start|user|model|reply: SIGKILL itself at the start, with the user's message saved, with the model's
answer in hand, with the answer saved and not printed. ANSI=1: colours even under NO_COLOR. LOG=1: log to
stdout although there is a log file. FORGET=1: ignore -s, as upstream's issue 1039 tells. REPLY=text: reply
that, ask no model. BACKOFF=seconds: before another attempt, instead of the config's. SEEN=file: argv,
environment, cwd and stdin go there as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

VERSION = "v0.2.9"
EMPTY = "The model returned an empty response. This may indicate a provider error or token limit."
TOOL_LIMIT = (
    "I've reached `max_tool_iterations` without a final response. Increase `max_tool_iterations` in "
    "config.json if this task needs more tool steps."
)
BLUE, RED, OFF = "\x1b[1;38;2;62;93;185m", "\x1b[1;38;2;213;70;70m", "\x1b[0m"
TOP = {
    "version", "agents", "session", "model_list", "channel_list", "channels", "gateway", "hooks", "tools",
    "heartbeat", "devices", "voice", "events", "bindings", "build_info", "isolation", "evolution",
}  # fmt: skip
DEFAULTS = {
    "workspace", "restrict_to_workspace", "allow_read_outside_workspace", "provider", "model_name",
    "model", "model_fallbacks", "image_model", "image_model_fallbacks", "max_tokens", "context_window",
    "temperature", "max_tool_iterations", "summarize_message_threshold", "summarize_token_percent",
    "max_media_size", "routing", "steering_mode", "max_parallel_turns", "subturn", "tool_feedback",
    "split_on_marker", "context_manager", "context_manager_config", "turn_profile", "max_llm_retries",
    "llm_retry_backoff_secs", "log_level",
}  # fmt: skip
ENTRY = {
    "model_name", "provider", "model", "api_base", "api_keys", "proxy", "fallbacks", "auth_method",
    "connect_mode", "workspace", "rpm", "max_tokens_field", "request_timeout", "thinking_level",
    "tool_schema_transform", "extra_body", "custom_headers", "user_agent", "enabled", "streaming",
}  # fmt: skip


class Failed(Exception):  # noqa: N818
    """What the command line prints after "Error: "."""


def switch(name: str) -> str:
    """Give what the variable says; "" where it is not set."""
    return os.environ.get(f"STAND_IN_{name}", "")


def die_at(step: str) -> None:
    """Die here, if that is what is wanted."""
    if switch("DIE") == step:
        os.kill(os.getpid(), signal.SIGKILL)


def say(text: str) -> None:
    """Print at once, as Go does."""
    sys.stdout.write(text)
    sys.stdout.flush()


def log(level: str, text: str) -> None:
    """To the log file instead of stdout, where there is one."""
    line = f"{time.strftime('%H:%M:%S')} {level} agent stand_in.go:1 > {text}\n"
    path = os.environ.get("PICOCLAW_LOG_FILE", "")
    if path and not switch("LOG"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(line)
    else:
        say(f"\x1b[33m{line}\x1b[0m" if switch("ANSI") else line)


def banner() -> None:
    """Print what is printed before any command."""
    plain = bool(os.environ.get("NO_COLOR")) and not switch("ANSI")
    blue, red, off = ("", "", "") if plain else (BLUE, RED, OFF)
    say(f"\r\n{blue}██████╗ ██╗ ██████╗ ██████╗ {red} ██████╗██╗      █████╗ ██╗    ██╗\n")
    say(f"{blue}██║     ██║╚██████╗╚██████╔╝{red}╚██████╗███████╗██║  ██║╚███╔███╔╝\n {off}\r\n")
    if zone := os.environ.get("TZ"):
        say(f"TZ environment: {zone}\nZONEINFO environment: \n")


def home() -> Path:
    """PICOCLAW_HOME, or ~/.picoclaw."""
    return Path(os.environ.get("PICOCLAW_HOME") or "~/.picoclaw").expanduser()


def strict(given: dict[str, Any], allowed: set[str], where: str) -> None:
    """Unknown fields are fatal."""
    for name in given:
        if name not in allowed:
            raise Failed(f'error loading config: failed to parse config: json: unknown field "{where}{name}"')


def config() -> dict[str, Any]:
    """config.json, version 3, with what the environment overrides."""
    path = Path(os.environ.get("PICOCLAW_CONFIG") or home() / "config.json")
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Failed(f"error loading config: {error}") from error
    if document.get("version") != 3:
        raise Failed(f"error loading config: unsupported config version {document.get('version')}")
    strict(document, TOP, "")
    strict(document["agents"]["defaults"], DEFAULTS, "agents.defaults.")
    for entry in document["model_list"]:
        strict(entry, ENTRY, "model_list.")
    defaults = document["agents"]["defaults"]
    for name in ("model_name", "workspace", "max_tokens", "max_tool_iterations", "llm_retry_backoff_secs"):
        if value := os.environ.get(f"PICOCLAW_AGENTS_DEFAULTS_{name.upper()}"):
            defaults[name] = int(value) if value.isdigit() else value
    return document


class Session:
    """KEY.jsonl and KEY.meta.json, as upstream keeps them."""

    def __init__(self, workspace: Path, key: str) -> None:
        stem = key
        for mark in ":/\\":
            stem = stem.replace(mark, "_")
        (workspace / "sessions").mkdir(parents=True, exist_ok=True)
        self.lines = workspace / "sessions" / f"{stem}.jsonl"
        self.about = workspace / "sessions" / f"{stem}.meta.json"
        self.meta: dict[str, Any] = {"key": key, "summary": "", "skip": 0, "count": 0}
        if self.about.exists():
            self.meta = json.loads(self.about.read_text(encoding="utf-8"))

    def messages(self) -> list[dict[str, Any]]:
        text = self.lines.read_text(encoding="utf-8") if self.lines.exists() else ""
        lines = [line for line in text.split("\n") if line][int(self.meta.get("skip", 0)) :]
        kept = []
        for line in lines:
            try:
                kept.append(json.loads(line))
            except ValueError:
                continue  # upstream skips torn lines too
        return kept

    def append(self, message: dict[str, Any]) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with self.lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**message, "created_at": now}, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.meta["count"] = int(self.meta.get("count", 0)) + 1
        self.meta.setdefault("created_at", now)
        self.meta["updated_at"] = now
        whole_file(self.about, json.dumps(self.meta, indent=2))


def whole_file(path: Path, text: str) -> None:
    """Write it so that nobody reads half of it."""
    path.with_suffix(".tmp").write_text(text, encoding="utf-8")
    path.with_suffix(".tmp").replace(path)


def system_prompt(workspace: Path, summary: str) -> str:
    """One message of parts, as upstream joins them."""
    parts = [f"# picoclaw 🦞\n\nYou are picoclaw, a helpful AI assistant.\n\nWorkspace: {workspace}"]
    files = [workspace / name for name in ("AGENT.md", "SOUL.md", "USER.md", "memory/MEMORY.md")]
    parts += [f"## {p.name}\n\n{p.read_text(encoding='utf-8')}" for p in files if p.exists()]
    parts.append(f"## Current Time\n{time.strftime('%Y-%m-%d %H:%M')}\n\nChannel: cli\nChat ID: direct")
    if summary:
        parts.append(f"CONTEXT_SUMMARY: {summary}")
    return "\n\n---\n\n".join(parts)


READ_FILE = {
    "type": "function",
    "function": {
        "name": "read_file",
        "description": "Read the contents of a file",
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    },
}


def run_tool(workspace: Path, call: dict[str, Any]) -> str:
    """Do what the model asks for: read_file, in the workspace."""
    try:
        path = (workspace / str(json.loads(call["function"]["arguments"])["path"])).resolve()
        if not path.is_relative_to(workspace.resolve()):
            return "access denied: path is outside the workspace"
        return path.read_text(encoding="utf-8")[:65536]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"failed to read file: {error}"


def post(entry: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """Send one request; what goes wrong with it is said in upstream's words, which are Go's."""
    import http.client  # noqa: PLC0415 - these take longer to import than all the rest
    import urllib.error  # noqa: PLC0415
    import urllib.request  # noqa: PLC0415

    base = (entry.get("api_base") or "http://localhost:11434/v1").rstrip("/")
    headers = {"Content-Type": "application/json"}
    if keys := entry.get("api_keys"):
        headers["Authorization"] = f"Bearer {keys[0]}"
    request = urllib.request.Request(f"{base}/chat/completions", json.dumps(body).encode(), headers)  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=float(entry.get("request_timeout") or 120)) as answer:
            parsed: dict[str, Any] = json.loads(answer.read())
            return parsed
    except urllib.error.HTTPError as error:
        preview = error.read(256).decode(errors="replace").strip()[:128] or "<empty>"
        raise Failed(f"API request failed:\n  Status: {error.code}\n  Body:   {preview}") from error
    except TimeoutError as error:
        raise Failed(f'failed to send request: Post "{base}": context deadline exceeded') from error
    except urllib.error.URLError as error:
        reason = str(getattr(error.reason, "strerror", None) or error.reason).lower()
        where = base.split("//", 1)[-1].split("/", 1)[0]
        raise Failed(f'failed to send request: Post "{base}": dial tcp {where}: connect: {reason}') from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Failed("failed to read response: unexpected EOF") from error


def ask(defaults: dict[str, Any], entry: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """With upstream's retries: timeouts, the network, 408, 429 and 5xx."""
    retries = int(defaults.get("max_llm_retries") or 2)
    backoff = float(switch("BACKOFF") or defaults.get("llm_retry_backoff_secs") or 2)
    signs = ("deadline exceeded", "refused", "reset", "eof", "status: 408", "status: 429", "status: 5")
    for attempt in range(retries + 1):
        try:
            return post(entry, body)
        except Failed as error:
            if attempt == retries or not any(sign in str(error).lower() for sign in signs):
                raise Failed(f"error processing message: LLM call failed after retries: {error}") from error
            log("WRN", f"retrying after backoff: {str(error).splitlines()[0]}")
            time.sleep(backoff * (attempt + 1))
    raise AssertionError


def converse(document: dict[str, Any], entry: dict[str, Any], session: Session, workspace: Path) -> str:
    """Ask the model until it wants no more tools, and give its last word."""
    defaults = document["agents"]["defaults"]
    profile = defaults.get("turn_profile") or {}
    toolless = bool(profile.get("enabled")) and (profile.get("tools") or {}).get("mode") == "off"
    for _ in range(int(defaults.get("max_tool_iterations") or 20)):
        history = [{k: v for k, v in m.items() if k != "created_at"} for m in session.messages()]
        system = {"role": "system", "content": system_prompt(workspace, str(session.meta.get("summary", "")))}
        body = {
            "model": str(entry["model"]).removeprefix("ollama/"),
            "messages": [system, *history],
            "max_tokens": defaults.get("max_tokens", 32768),
            "temperature": defaults.get("temperature", 0.7),
            **(entry.get("extra_body") or {}),
        }
        if not toolless:
            body["tools"], body["tool_choice"] = [READ_FILE], "auto"
        choices = ask(defaults, entry, body).get("choices") or [{"message": {}}]
        message = choices[0]["message"]
        die_at("model")
        calls = message.get("tool_calls") or []
        if not calls:
            return message.get("content") or EMPTY
        session.append({"role": "assistant", "content": message.get("content") or "", "tool_calls": calls})
        for call in calls:
            result = run_tool(workspace, call)
            session.append({"role": "tool", "content": result, "tool_call_id": call.get("id", "")})
    return TOOL_LIMIT


def misbehave() -> None:
    """What is done wrong before anything else."""
    if path := switch("SEEN"):
        seen = {"argv": sys.argv[1:], "env": dict(os.environ), "cwd": str(Path.cwd())}
        whole_file(Path(path), json.dumps({**seen, "stdin": sys.stdin.read()}))
    if switch("STUBBORN"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    die_at("start")
    if megabytes := switch("FLOOD"):
        for _ in range(int(megabytes)):
            say("x" * 1_000_000)
    if text := switch("STDERR"):
        raise Failed(text)
    if code := switch("EXIT"):
        sys.stderr.write("gone wrong\n")
        sys.exit(int(code))


def hang() -> NoReturn:
    """Never come back."""
    while True:
        time.sleep(3600)


def fork() -> None:
    """A grandchild that outlives everything but a signal to the group."""
    pid = os.fork()
    if pid == 0:
        hang()
    if path := switch("PIDS"):
        whole_file(Path(path), f"{os.getpid()} {pid}")


def agent(options: dict[str, str]) -> None:
    """``agent -m``."""
    misbehave()
    document = config()
    defaults = document["agents"]["defaults"]
    name = options.get("--model") or defaults.get("model_name", "")
    entries = [e for e in document["model_list"] if e["model_name"] == name and e.get("enabled", True)]
    if not entries:
        raise Failed(f'error creating provider: model "{name}" not found in model_list')
    workspace = Path(defaults.get("workspace") or home() / "workspace").expanduser()
    key, message = options.get("-s", ""), options.get("-m", "")
    if switch("FORGET") or not key.startswith(("agent:", "sk_v1_")):
        key = "agent:main:main"
    log("INF", f"Processing message from cli:cron: {message[:80]}")
    log("WRN", "a line to be ignored")
    if (first := message.split()[:1]) and first[0][0] in "/!":
        say(f"\n🦞 Unknown command: {first[0]}\n")
        return
    if not message:
        say("🦞 Interactive mode (Ctrl+C to exit)\n\nGoodbye!\n")
        return
    session = Session(workspace, key)
    session.append({"role": "user", "content": message})
    die_at("user")
    if switch("FORK"):
        fork()
    if switch("HANG"):
        hang()
    if switch("GARBAGE"):
        say("lorem ipsum\nno marker here\n")
        return
    reply = switch("REPLY") or converse(document, entries[0], session, workspace)
    session.append({"role": "assistant", "content": reply})
    die_at("reply")
    say(f"\n🦞 {reply}\n")


def version(_: dict[str, str]) -> None:
    """``version``."""
    say(f"🦞 picoclaw {VERSION} (git: 0123abc)\n  Build: 2026-06-01\n  Go: go1.25.0\n")


def status(_: dict[str, str]) -> None:
    """``status``: exit 0 on a broken config too, as upstream does."""
    say(f"🦞 picoclaw Status\nVersion: {VERSION}\n\n")
    try:
        document = config()
    except Failed as failed:
        say(f"Error loading config: {failed}\n")
        return
    say(f"Model: {document['agents']['defaults'].get('model_name', '')}\n")


def main(name: str = "", *options: str) -> int:
    """Run one command."""
    banner()
    command = {"agent": agent, "version": version, "status": status}.get(name)
    if command is None:
        sys.stderr.write(f'Error: unknown command "{name}" for "picoclaw"\n')
        return 1
    try:
        command(dict(zip(options[::2], options[1::2], strict=False)))
    except Failed as failed:
        sys.stderr.write(f"Error: {failed}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
