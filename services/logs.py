"""One line of JSON a state change, on standard error, with a stable ``action`` key.

A line never holds an address, a User-Agent or a query. Exceptions are logged by their type and their place:
their text may quote what they choked on.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import structlog

Logger = structlog.typing.FilteringBoundLogger


def place_of(error: BaseException) -> str:
    """Where an error was raised, as ``file:line``, without any value that it saw."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown"


def frames_of(error: BaseException) -> list[str]:
    """The way to where an error was raised, without any value."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames[-12:]]


class _NamelessHandler(logging.Handler):
    """Passes on what libraries log: who logged, how grave, and the error's type; never their arguments."""

    def __init__(self, log: Logger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._log.log(
            record.levelno,
            "library",
            logger=record.name,
            # Beside arguments, which may hold an address, the text is the library's own constant one. Without any it
            # may be finished and hold them itself: then the place tells which it was.
            message=record.msg[:200] if record.args and isinstance(record.msg, str) else "",
            error=type(error).__name__ if error else None,
            place=place_of(error) if error else f"{record.filename}:{record.lineno}",
        )


def _rename_event(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {"action": event.pop("event"), **event}


def _log_ends(log: Logger) -> None:
    """Let an error that ends the process, or a thread, be a line of the log: its text may quote what it saw."""

    def on_error(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
        if not isinstance(error, KeyboardInterrupt):
            log.critical("crashed", error=type(error).__name__, place=place_of(error), path=frames_of(error))

    def on_thread_error(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None:
            on_error(arguments.exc_type, arguments.exc_value, None)

    def on_unraisable(arguments: sys.UnraisableHookArgs) -> None:
        error = arguments.exc_value
        log.error("library", error=arguments.exc_type.__name__, place=place_of(error) if error else "unknown")

    sys.excepthook = on_error
    threading.excepthook = on_thread_error
    sys.unraisablehook = on_unraisable  # in a finalizer, where nobody can catch it


def _log_warnings(log: Logger) -> None:
    """Let Python's warnings be lines of the log, by kind and place."""

    def on_warning(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        log.warning("library", logger="warnings", error=category.__name__, place=f"{filename}:{lineno}")

    warnings.showwarning = on_warning


def make_logger(service: str) -> Logger:
    """The logger of a process; everything that its libraries log goes the same, arguments left out."""
    structlog.configure(
        processors=[
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.add_log_level,
            _rename_event,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    log: Logger = structlog.get_logger().bind(service=service)
    logging.basicConfig(handlers=[_NamelessHandler(log)], level=logging.WARNING, force=True)
    _log_ends(log)
    _log_warnings(log)
    return log
