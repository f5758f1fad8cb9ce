"""What was typed, read with the standard library's argparse and refused in sentences like upstream's."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, cast

from picoclaw.turns import DEFAULT_SESSION

PROGRAM = "picoclaw-py"
Choice = Literal["embedded", "auto", "binary"]
"""runtime.BackendChoice, which is not imported for it: --help must not wait for an HTTP client."""
Command = Literal["agent", "status", "onboard", "version"]
COMMANDS: tuple[Command, ...] = ("agent", "status", "onboard", "version")
UPSTREAMS = ("gateway", "model", "config", "skills", "cron", "mcp", "auth", "migrate")
"""Commands that only upstream's binary has."""
LONGEST_SECONDS = 86_400.0

_EXAMPLES = f"""
begin with:
  {PROGRAM} onboard                    a config and a workspace in ~/.picoclaw
  {PROGRAM} status                     whether the model can be used
  {PROGRAM} agent -m "Who are you?"    one turn
  {PROGRAM} agent                      a conversation, until exit, quit or Ctrl-D
"""
_VALUES = {
    "-m": "--message", "--message": "--message", "-s": "--session", "--session": "--session",
    "--model": "--model", "--api-base": "--api-base", "--backend": "--backend", "--timeout": "--timeout",
}  # fmt: skip
"""Options that take the next word, whatever it begins with: ``-m -5`` is a message, in upstream too."""
_KEPT = "\0"
"""No word that is typed can hold it."""


class WrongUsage(Exception):  # noqa: N818 - it names the thing, not the act
    """What was typed is no command of ours; the text says why and what to type."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A command with its options. ``message`` None: a conversation; ``model`` None: the config's."""

    command: Command
    message: str | None = None
    session: str = DEFAULT_SESSION
    model: str | None = None
    api_base: str | None = None
    backend: Choice = "embedded"
    timeout: float | None = None
    json: bool = False
    debug: bool = False


def parse(words: Sequence[str]) -> Asked:
    """What the words ask for. WrongUsage; ``--help`` is printed here and ends the program with 0."""
    parser, commands = _parser()
    _refuse_unknown_command(words)
    found, unknown = parser.parse_known_args(_joined(words))
    if found.command is None:
        if not unknown:
            parser.print_help()
            raise SystemExit(0)
        raise WrongUsage(f"unknown flag: {unknown[0]}; see {PROGRAM} --help")
    if unknown:
        kind = "flag" if unknown[0].startswith("-") else "argument"
        raise WrongUsage(f"unknown {kind}: {unknown[0]}; see {commands[found.command].prog} --help")
    given = {name: _bare(value) for name, value in vars(found).items() if value is not None}
    return _checked(Asked(**given))


def _checked(asked: Asked) -> Asked:
    if asked.message is not None and not asked.message.strip():
        raise WrongUsage(f"-m is empty; say something, or type {PROGRAM} agent for a conversation")
    if asked.message is None and asked.json and asked.command == "agent":
        raise WrongUsage(f"--json needs -m: it prints one turn's reply; type {PROGRAM} agent -m TEXT --json")
    return asked


def _refuse_unknown_command(words: Sequence[str]) -> None:
    if not words or words[0].startswith("-") or words[0] in COMMANDS:
        return
    if words[0] in UPSTREAMS:
        raise WrongUsage(
            f"{words[0]} is a command of upstream's picoclaw only; {PROGRAM} has {', '.join(COMMANDS)}"
        )
    raise WrongUsage(f'unknown command "{words[0]}" for "{PROGRAM}"; it has {", ".join(COMMANDS)}')


def _joined(words: Sequence[str]) -> list[str]:
    """``-m X`` as ``--message=X``: argparse would refuse an X that begins with a dash."""
    joined: list[str] = []
    rest = iter(words)
    for word in rest:
        long = _VALUES.get(word)
        value = next(rest, None) if long else None
        if value == "--":
            value += _KEPT  # argparse drops it, even as a value (CPython, gh-59317)
        joined.append(word if value is None else f"{long}={value}")
    return joined


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise WrongUsage(f"{message}; see {self.prog} --help")


def _parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = _Parser(
        prog=PROGRAM,
        description="An AI agent with a workspace and sessions, on a language model that others may share.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    commands = {
        "agent": made.add_parser("agent", help="talk to the agent", allow_abbrev=False),
        "status": made.add_parser("status", help="whether all is well; exit 1 if not", allow_abbrev=False),
        "onboard": made.add_parser("onboard", help="write a first config and workspace", allow_abbrev=False),
        "version": made.add_parser("version", help="the version", allow_abbrev=False),
    }
    agent, status, onboard = commands["agent"], commands["status"], commands["onboard"]
    agent.add_argument("-m", "--message", metavar="TEXT", help="one turn; without it, a conversation")
    agent.add_argument("-s", "--session", metavar="KEY", help=f"which conversation [{DEFAULT_SESSION}]")
    agent.add_argument("--model", metavar="NAME", help="a model_name of the config [its default]")
    agent.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="for a whole turn [120, or the model's own]"
    )
    agent.add_argument("--json", action="store_true", help="one JSON object with all that is known")
    status.add_argument("--json", action="store_true", help="one JSON object")
    for command in (agent, status):
        command.add_argument("-d", "--debug", action="store_true", help="log more")
        command.add_argument(
            "--backend", choices=("embedded", "auto", "binary"),
            help="what runs a turn: this program, or upstream's picoclaw [embedded]",
        )  # fmt: skip
    onboard.add_argument("--model", type=_name, metavar="NAME", help="the model to use, as Ollama calls it")
    onboard.add_argument("--api-base", type=_name, metavar="URL", help="the model's server")
    return parser, cast("dict[str, argparse.ArgumentParser]", commands)


def _bare(value: object) -> Any:
    return value.removesuffix(_KEPT) if isinstance(value, str) else value


def _seconds(text: str) -> float:
    """Argparse names the option and what was given; this adds what is allowed."""
    allowed = argparse.ArgumentTypeError(
        f"takes seconds, above 0 and at most {LONGEST_SECONDS:g}, not {text!r}"
    )
    try:
        seconds = float(text)
    except ValueError:
        raise allowed from None
    if not math.isfinite(seconds) or not 0.0 < seconds <= LONGEST_SECONDS:
        raise allowed
    return seconds


def _name(text: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > 512:
        raise argparse.ArgumentTypeError(f"takes a line of 1 to 512 characters, not {text[:80]!r}")
    return text.strip()
