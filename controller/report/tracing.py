"""Traces: one per attempt, so that a whole migration can be read on one screen.

An attempt outlives the process that began it. Its trace id and the id of its root span are therefore
computed from what identifies it, and whoever leads adds spans to the same trace; the root itself is
sent once, when the attempt is over. Nothing is registered globally: the provider lives in
:class:`Tracing` and spans are current only inside :meth:`Tracing.span`.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.trace import Span, SpanContext, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from controller.domain import Attempt, Key, Phase

EXPORT_TIMEOUT_S = 5.0
"""Of one request to the collector, retries included."""


def tracing_to(endpoint: str | None, version: str) -> Tracing:
    """Return traces that go to the OTLP/HTTP collector at ``endpoint``, or nowhere where it is None.

    ``endpoint`` is the collector's base URL; ``/v1/traces`` is added where it is not there.
    """
    if endpoint is None:
        return Tracing(None, version)
    url = endpoint.rstrip("/").removesuffix("/v1/traces") + "/v1/traces"
    exporter = OTLPSpanExporter(endpoint=url, timeout=EXPORT_TIMEOUT_S)
    return Tracing(BatchSpanProcessor(exporter), version)


class Tracing:
    """Makes the spans of attempts. Use it from the event loop's thread only.

    Without a processor nothing is recorded and a span costs nothing.
    """

    def __init__(self, processor: SpanProcessor | None, version: str) -> None:
        self._ids = _Ids()
        self._records = processor is not None
        self._provider = TracerProvider(
            sampler=ALWAYS_OFF if processor is None else ALWAYS_ON,
            resource=Resource.create(
                {"service.name": "migrate-controller", "service.version": version}
            ),
            shutdown_on_exit=False,  # it would wait for a dead collector without a deadline
            id_generator=self._ids,
        )
        if processor is not None:
            self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("controller", version)

    @contextmanager
    def span(
        self, key: Key, attempt: Attempt, name: str, **attributes: AttributeValue
    ) -> Iterator[Span]:
        """Trace what the ``with`` block does: a step, a write or a revert of this attempt.

        A span inside another is its child. An exception that leaves the block is recorded on it.
        """
        if not self._records:
            yield trace.INVALID_SPAN
            return
        root = root_of(key, attempt)
        current = trace.get_current_span().get_span_context()
        parent = None
        if current.trace_id != root.trace_id:
            parent = trace.set_span_in_context(trace.NonRecordingSpan(root), Context())
        with self._tracer.start_as_current_span(name, parent, attributes=attributes) as span:
            yield span

    def finish(
        self, key: Key, attempt: Attempt, phase: Phase, reason: str, ended: datetime
    ) -> None:
        """Send the root: the whole attempt, from its start to ``ended``.

        Twice (by two leaders) is no harm: it is the same span with the same id.
        """
        self._ids.root = root_of(key, attempt)
        try:
            span = self._tracer.start_span(
                f"migrate {key} to {attempt.target}",
                Context(),
                attributes={
                    "migrate.namespace": key.namespace,
                    "migrate.service": key.service,
                    "migrate.origin": attempt.origin,
                    "migrate.target": attempt.target,
                    "migrate.attempt": attempt.number,
                    "migrate.phase": str(phase),
                    "migrate.reason": reason,
                },
                start_time=_nanoseconds(attempt.started),
            )
        finally:
            self._ids.root = None
        if phase in (Phase.REVERTING, Phase.REVERTED):
            span.set_status(Status(StatusCode.ERROR, reason))
        span.end(_nanoseconds(ended))

    def shutdown(self, deadline_s: float = 3.0) -> bool:
        """Send what waits. Blocks for ``deadline_s`` at most: call it last, outside the event loop.

        False where the deadline came first; what was not sent by then is lost.
        """
        # The SDK's own shutdown waits 30 s for a collector that hangs, and has no setting for it.
        thread = threading.Thread(target=self._provider.shutdown, daemon=True)
        thread.start()
        thread.join(deadline_s)
        return not thread.is_alive()


def root_of(key: Key, attempt: Attempt) -> SpanContext:
    """Return the root span of an attempt, the same in every process.

    The ids are the first 16 and the next 8 bytes of a hash of (key, target, number, started).
    """
    started = attempt.started.astimezone(UTC).isoformat()
    name = "\0".join((*key, attempt.target, str(attempt.number), started))
    digest = hashlib.sha256(name.encode()).digest()
    return SpanContext(
        trace_id=int.from_bytes(digest[:16]),
        span_id=int.from_bytes(digest[16:24]),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )


def exemplar() -> dict[str, str] | None:
    """Return the ids of the current span, for a histogram's exemplar; None where it is not kept."""
    context = trace.get_current_span().get_span_context()
    if not context.trace_flags.sampled:
        return None
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }


class _Ids(RandomIdGenerator):
    """Random ids, but those of ``root`` while it is set: the SDK has no other way to choose them."""

    def __init__(self) -> None:
        self.root: SpanContext | None = None

    def generate_trace_id(self) -> int:
        """Return the trace's id, 128 bits."""
        return super().generate_trace_id() if self.root is None else self.root.trace_id

    def generate_span_id(self) -> int:
        """Return the span's id, 64 bits."""
        return super().generate_span_id() if self.root is None else self.root.span_id


def _nanoseconds(when: datetime) -> int:
    # Whole microseconds: a float of seconds since 1970 has no room for them.
    since = when - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000
