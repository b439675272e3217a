"""Logs: one JSON object a line on stderr, of the controller and of its libraries alike."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

LIBRARIES_LEVEL = logging.WARNING
"""Libraries are not heard below this: their every request at ``info`` would drown our decisions."""


def configure_logging(
    level: Literal["debug", "info", "warning", "error"],
) -> FilteringBoundLogger:
    """Set structlog and the standard library's root logger up, once, at start.

    Returns the logger to pass on: whoever knows more (a cluster, a key) binds it and hands that down.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    finish: list[Processor] = [
        # Locals may hold tokens and whole objects, so they stay out.
        structlog.processors.ExceptionRenderer(
            structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=20)
        ),
        structlog.processors.JSONRenderer(),
    ]
    start: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        with_trace,
    ]
    structlog.configure(
        processors=[*start, *finish],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *start],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *finish],
        )
    )
    logging.basicConfig(level=max(number, LIBRARIES_LEVEL), handlers=[handler], force=True)
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger


def with_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add ``trace_id`` where the line was written inside a span that is kept."""
    context = trace.get_current_span().get_span_context()
    if context.trace_flags.sampled:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
    return event
