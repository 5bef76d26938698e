"""Structured logs on stderr: an event's name and its fields, one line each, credentials redacted.

`bind(room=…)` ties fields to every later line of the process, whichever thread writes it.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, WrappedLogger

_BOUND: dict[str, Any] = {}

# user:password@ of a URL, as cameras' addresses bear it; and what follows `Bearer`.
_URL_SECRET = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_BEARER = re.compile(r"(?i)(?<=bearer )[^\s'\"]+")
_SECRET_KEYS = frozenset({"password", "token", "private_key", "credentials", "authorization", "pin"})


def redact(text: str) -> str:
    """`text` without the user and password of any URL and without bearer tokens."""
    return _BEARER.sub("***", _URL_SECRET.sub("***", text))


def bind(**fields: Any) -> None:
    _BOUND.update(fields)


def _add_bound(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    del logger, method
    return {**_BOUND, **event}


def _redact_event(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    del logger, method
    for key, value in event.items():
        if key in _SECRET_KEYS:
            event[key] = "***"
        elif isinstance(value, str):
            event[key] = redact(value)
        elif isinstance(value, BaseException):
            event[key] = redact(f"{type(value).__name__}: {value}")
    return event


class _Stderr:
    """Whatever stderr is when a line is written, not what it was when logging was configured."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def configure_logging(*, json: bool = False, level: int = logging.INFO) -> None:
    """Once per process. `json`: one JSON object a line, else key=value text for people."""
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if json
        else structlog.processors.LogfmtRenderer(
            key_order=["timestamp", "level", "event"], bool_as_flag=False
        )
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _add_bound,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact_event,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Stderr())),
        # What is logged is rare; a kept logger would not hear of another configuration.
        cache_logger_on_first_use=False,
    )


def get_logger(**fields: Any) -> structlog.typing.FilteringBoundLogger:
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(**fields)
    return logger
