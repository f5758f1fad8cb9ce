"""``python -m app``: one replica."""

# ruff: noqa: E402 - the standard library is patched before anything else can hold on to the unpatched one
from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import gc
import sys

from clawbucket import logs
from clawbucket.listening import listening_socket
from clawbucket.settings import BadSetting, Settings
from clawbucket.wsgi import Program, serve


def main() -> None:
    """Serve until told to end. A setting that is no good: one sentence, exit code 2."""
    try:
        settings = Settings.from_env()
        listener = listening_socket(settings.bind)
    except BadSetting as error:
        sys.stderr.write(f"app: {error}\n")
        sys.exit(2)
    logs.configure("app", settings.log_format, settings.log_level, task=settings.task_name or None)
    serve(listener, lambda: start(settings), lifeline_fd=settings.lifeline_fd)


def start(settings: Settings) -> Program:
    """The replica, running; called in the worker, so that the master stays small."""
    gc.disable()  # nothing of what is imported is garbage, and looking for some takes a tenth of the start
    from app.factory import create_app  # noqa: PLC0415
    from app.schemas import LARGEST_BODY  # noqa: PLC0415
    from app.services import build  # noqa: PLC0415
    from app.stream import fanout_of  # noqa: PLC0415

    services = build(settings)
    fanout = fanout_of(services)

    def goodbye() -> None:
        services.health.drain()
        services.stop(timeout=0.3)
        fanout.close()

    application = create_app(services, fanout)
    services.start()
    gc.freeze()
    gc.enable()
    return Program(application, goodbye, LARGEST_BODY)


if __name__ == "__main__":
    main()
