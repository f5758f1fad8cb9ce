"""``claw models``: the models on the one Ollama that all troopers share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Literal

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from clawbucket.cli.refusal import Refusal
from clawbucket.settings import Settings
from picoclaw.clean import clean
from picoclaw.config import ModelEntry
from picoclaw.deadline import Deadline
from picoclaw.errors import BackendUnreachable, ModelNotFound, PicoClawError, TurnTimeout
from picoclaw.model import ModelCall
from picoclaw.ollama_model import OllamaModel
from picoclaw.ollama_server import LocalModel, OllamaServer, PullProgress, full_name
from picoclaw.turns import Message

DEFAULT_URL = "http://localhost:11434"
"""Where Ollama is when nobody moved it."""
_QUESTION = "Who are you? Answer in one short sentence."
_ANSWER_SECONDS = 120.0
"""A first answer includes loading the model, which takes a minute from a slow disk."""
_ANSWER_TOKENS = 48
_WINDOW = 2048
"""Tokens; the least that Ollama gives a model by default."""
_WIDTH = 200
"""Columns of a table that nobody looks at: a pipe must not cut a model's name."""
_STEP = 25
"""Percent between two lines of progress, where there is no terminal to rewrite one on."""
_FEWER = 1_000


@click.command(short_help="List, fetch or try the models on Ollama.", epilog="""
\b
Examples:
  ./claw models                     what is there
  ./claw models pull                fetch the one that OLLAMA_MODEL names
  ./claw models pull qwen3:0.6b     fetch another
  ./claw models test                ask it something
""")  # fmt: skip
@click.argument("what", type=click.Choice(["list", "pull", "test"]), default="list")
@click.argument("name", required=False)
def models(what: Literal["list", "pull", "test"], name: str | None) -> None:
    """List, fetch or try the models on the Ollama at OLLAMA_URL, which all troopers share.

    NAME is OLLAMA_MODEL's unless given. The exit status is 0 when that model is there (list), was fetched
    (pull) or answered (test), and 1 when not.
    """
    settings = Settings.from_env()
    if settings.ollama_url is None:
        click.echo(f"claw: OLLAMA_URL is not set; looking at {DEFAULT_URL}", err=True)
    if name is not None and what == "list":
        raise Refusal(f"models list takes no name; did you mean ./claw models pull {name}?")
    wanted = name or settings.ollama_model
    with _ollama(settings.ollama_url or DEFAULT_URL) as server:
        there = server.models()  # for each of the three: one that does not answer is told at once, alike
        if what == "list":
            _list(server, there, wanted)
        elif what == "pull":
            _pull(server, wanted)
        else:
            _test(server, wanted)


def answering(host: str) -> str:
    """The address of the Ollama at ``host``, in any form of OLLAMA_HOST ("": this machine's).

    Refusal, before anything is begun, where none answers there.
    """
    try:
        with closing(OllamaServer(host or DEFAULT_URL)) as server:
            server.version()
            return server.base
    except PicoClawError as error:
        raise Refusal(f"no Ollama answers at OLLAMA_HOST: {error}") from error


@contextmanager
def _ollama(url: str) -> Iterator[OllamaServer]:
    """Ollama, and its errors as refusals."""
    try:
        with closing(OllamaServer(url)) as server:
            try:
                yield server
            except (BackendUnreachable, TurnTimeout) as error:
                raise _unusable(server, error) from error
    except PicoClawError as error:
        raise Refusal(str(error), 1) from error


def _unusable(server: OllamaServer, error: PicoClawError) -> Refusal:
    """Is it there at all? Then the error itself tells more."""
    try:
        server.version()
    except (BackendUnreachable, TurnTimeout) as silent:
        if silent.retryable:
            return Refusal(
                f"no Ollama answers at {server.base}; start one with: ollama serve (ollama.com/download has "
                "it), or set OLLAMA_URL to where one is",
                1,
            )
    return Refusal(str(error), 1)


def _list(server: OllamaServer, there: tuple[LocalModel, ...], wanted: str) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("MODEL", "SIZE", "MODIFIED", ""):
        table.add_column(column, no_wrap=True, justify="right" if column == "SIZE" else "left")
    for model in there:
        is_wanted = full_name(model.name) == full_name(wanted)
        table.add_row(
            Text(clean(model.name, 128), style="green" if is_wanted else ""),
            _bytes(model.size),
            f"{model.modified:%Y-%m-%d %H:%M}" if model.modified else "",
            "OLLAMA_MODEL" if is_wanted else "",
        )
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(Text(f"{len(there)} model{'' if len(there) == 1 else 's'} on Ollama at {server.base}"))
    if there:
        console.print(table)
    if not any(full_name(model.name) == full_name(wanted) for model in there):
        raise Refusal(f"OLLAMA_MODEL is {wanted}, which is not there; type ./claw models pull {wanted}", 1)


def _pull(server: OllamaServer, name: str) -> None:
    begun = time.monotonic()
    show = _bars if Console().is_terminal else _lines
    try:
        show(server.pull(name))
    except KeyboardInterrupt:
        raise Refusal("stopped; Ollama keeps what was fetched: type the same again to go on", 130) from None
    except ModelNotFound as error:
        raise Refusal(
            f"Ollama can fetch no model {name!r}; look its name up in Ollama's library", 1
        ) from error
    click.echo(f"{name} is there, after {time.monotonic() - begun:.1f} s")


def _bars(parts: Iterator[PullProgress]) -> None:
    """A bar for each part of the model that is fetched."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns) as progress:
        tasks: dict[str, TaskID] = {}
        for part in parts:
            if part.total is None:
                continue  # "pulling manifest" and such last for moments
            if part.status not in tasks:
                tasks[part.status] = progress.add_task(clean(part.status, 40), total=part.total)
            progress.update(tasks[part.status], total=part.total, completed=part.completed or 0)


def _lines(parts: Iterator[PullProgress]) -> None:
    """A line for each step, and one for each quarter of a part, for logs and pipes."""
    told: tuple[str, int] | None = None
    for part in parts:
        share = 100 * (part.completed or 0) // part.total if part.total else 0
        step = (part.status, share // _STEP)
        if step == told:
            continue
        told = step
        status = clean(part.status, 80)
        click.echo(f"{status}: {share} % of {_bytes(part.total)}" if part.total else status)


def _test(server: OllamaServer, name: str) -> None:
    entry = ModelEntry(
        model_name=name, provider="ollama", model=name, api_base=server.base, api_keys=(),
        request_timeout=_ANSWER_SECONDS, rpm=0, extra_body={}, enabled=True,
    )  # fmt: skip
    call = ModelCall((Message("user", _QUESTION),), (), _ANSWER_TOKENS, _WINDOW, 0.7)
    deadline = Deadline(_ANSWER_SECONDS)
    click.echo(f"{name}: {_QUESTION}")
    with closing(OllamaModel(entry)) as model:
        try:
            answer = model.chat(call, deadline)
        except KeyboardInterrupt:
            raise Refusal(f"stopped, after {deadline.elapsed():.1f} s", 130) from None
        except ModelNotFound as error:
            raise Refusal(f"{name} is not there; type ./claw models pull {name}", 1) from error
    said = clean(answer.text)
    if not said:
        raise Refusal(f"{name} answered nothing, after {deadline.elapsed():.1f} s; try another model", 1)
    usage = answer.usage
    click.echo(said)
    click.echo(
        f"{deadline.elapsed():.1f} s, {_count(usage.prompt_tokens)} tokens in, "
        f"{_count(usage.completion_tokens)} out"
    )


def _count(tokens: int | None) -> str:
    return "unknown" if tokens is None else str(tokens)


def _bytes(size: float) -> str:
    """As Ollama shows sizes: powers of a thousand."""
    for unit in ("B", "kB", "MB"):
        if size < _FEWER:
            return f"{size:.0f} {unit}"
        size /= _FEWER
    return f"{size:.1f} GB"
