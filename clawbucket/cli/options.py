"""Options that mean settings, and errors in one form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from clawbucket.cli.refusal import Refusal
from clawbucket.ports import ClawError
from clawbucket.settings import BadSetting, Settings, environment, packed_replicas, variable_of

F = TypeVar("F", bound=Callable[..., Any])


class Setting(click.ParamType[Any]):
    """Takes what a setting's environment variable takes, and refuses in the same words."""

    def __init__(self, setting: str, name: str) -> None:
        self._variable = variable_of(setting)
        self.name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value as the settings hold it."""
        try:
            return self._variable.parse(value) if isinstance(value, str) else value
        except ValueError:
            self.fail(f"takes {self._variable.takes}; {value[:80]!r} is not that.", param, ctx)


class Replicas(Setting):
    """A count of replicas where the engine may be sim; whether it is, Settings.from_env knows."""

    def __init__(self) -> None:
        super().__init__("replicas", "count")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The count, which may be more than other engines take."""
        try:
            return packed_replicas(value) if isinstance(value, str) else value
        except ValueError:
            return super().convert(value, param, ctx)


PORT = Setting("memcached_port", "port")
"""A TCP port, as every setting that is one takes it."""


def port_option(command: F) -> F:
    """``--port``: which rack is meant, where several run."""
    return click.option(
        "--port", type=PORT, default=None, metavar="PORT",
        help="The rack's dashboard port; needed only where several racks run.",
    )(command)  # fmt: skip


class SpeakingGroup(click.Group):
    """A group whose every failure is one sentence on standard error and an exit status."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a refusal, a bad setting or a failure of ours becomes its sentence."""
        try:
            return super().invoke(ctx)
        except Refusal as refusal:
            _speak(str(refusal), refusal.code)
        except BadSetting as error:
            _speak(str(error), 2)
        except ClawError as error:
            _speak(str(error), 1)


def _speak(sentence: str, code: int) -> None:
    click.echo(f"claw: {sentence}", err=True)
    raise SystemExit(code)


def operators_token(file: Path | None) -> str | None:
    """What changes must show: of the file that an option names, before the environment. BadSetting."""
    names = [variable_of(setting).name for setting in ("token", "token_file")]
    here = environment({})
    given = {name: here[name] for name in names if name in here}
    return Settings.from_env({names[1]: str(file)} if file else given).token
