"""Structured logs on standard error: one event and its facts a line.

``console`` is for a person at a terminal, ``json`` for a machine. Libraries that log through the
standard library come out in the same form.
"""

from __future__ import annotations

import logging
import sys

if "rich" not in sys.modules:
    # structlog takes rich where it finds it, for tracebacks in colour that also print every local
    # variable. Programs that nobody watches start a sixth of a second sooner without, six at a time.
    sys.modules["rich"] = None  # type: ignore[assignment]
    import structlog

    del sys.modules["rich"]
else:
    import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(program: str, log_format: str = "console", level: str = "info", **facts: object) -> None:
    """Set up logging for the whole process; ``facts`` (the task, say) go with every line.

    One that can be called is asked at every line.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _with_facts(program=program, **facts),
    ]
    if log_format == "json":
        ending: list[structlog.typing.Processor] = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    else:
        ending = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=28)]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells every request


def _with_facts(**facts: object) -> structlog.typing.Processor:
    def add(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        for name, value in facts.items():
            told = value() if callable(value) else value
            if told is not None or not callable(value):
                event.setdefault(name, told)
        return event

    return add
