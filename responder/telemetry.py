"""Logs and metrics: how the responder tells operators about itself.

Logs are structlog events, as JSON or for a console, and no credential passes through them. Metrics are one
frozen object over a registry of its own, so that several can live in one process (tests, the demo).
What an incident went through is not here: that is its timeline.
"""

import logging
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TextIO, cast

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from pydantic import SecretBytes, SecretStr
from structlog.typing import EventDict, Processor

from responder.model.base import Frozen
from responder.model.redaction import MASK, SHIPPED, Redaction

_SECRET_KEY = re.compile(
    r"(?:^|[_\-])(?:password|passwd|token|secret|authorization|dsn|api_?key|cookie)s?$", re.IGNORECASE
)


class LogFormat(StrEnum):
    """How a log line looks."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The least important event that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogSettings(Frozen):
    """The `log:` block of the settings."""

    format: LogFormat = LogFormat.JSON
    level: LogLevel = LogLevel.INFO


class LogOutput:
    """Where log lines go. What cannot be written is lost and counted: it stops nothing.

    A log on a full disk would otherwise be an error in whatever had something to say.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost = 0
        """Writes that failed since the start."""
        self.problem: str | None = None
        """Why the last one failed; None where it did not."""

    def write(self, text: str) -> int:
        """Write, as far as possible."""
        try:
            written = self._stream.write(text)
        except (OSError, ValueError) as error:  # ValueError: it is closed
            self._failed(error)
            return len(text)
        self.problem = None
        return written

    def flush(self) -> None:
        """Flush, as far as possible."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._failed(error)

    def isatty(self) -> bool:
        """Whether a person looks on."""
        return self._stream.isatty()

    def _failed(self, error: OSError | ValueError) -> None:
        self.lost += 1
        self.problem = getattr(error, "strerror", None) or "it is closed"


def configure_logging(
    settings: LogSettings, stream: TextIO | None = None, redaction: Redaction = SHIPPED
) -> LogOutput:
    """Send every log line of this process, the libraries' too, to `stream` (standard error by default).

    What `redaction` replaces anywhere else is replaced in log lines, too.
    """
    out = LogOutput(stream if stream is not None else sys.stderr)
    level = logging.getLevelNamesMapping()[settings.level.value.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        mask_secrets(redaction),
    ]
    renderer = _renderer(settings.format, out)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, out)),
        cache_logger_on_first_use=False,
    )
    _take_over_standard_logging(shared, renderer, out, level)
    return out


def mask_secrets(redaction: Redaction) -> Processor:
    """What replaces a value that is a secret by its type or its key, and the secrets inside of texts."""

    def masked(_logger: Any, _method: str, event: EventDict) -> EventDict:
        return {key: _masked(key, value, redaction) for key, value in event.items()}

    return masked


def mask_text(text: str) -> str:
    """The text without the secrets of the shipped forms: for what is said before the settings are known."""
    return SHIPPED.text(text)


def _masked(key: str, value: Any, redaction: Redaction) -> Any:
    if isinstance(value, SecretStr | SecretBytes) or (_SECRET_KEY.search(key) and value is not None):
        return MASK
    match value:
        case str():
            return redaction.text(value)
        case bool() | int() | float() | None:
            return value
        case Mapping():
            return {str(name): _masked(str(name), inner, redaction) for name, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_masked("", inner, redaction) for inner in value]
        case _:
            return redaction.text(str(value))


def _renderer(form: LogFormat, out: LogOutput) -> Processor:
    match form:
        case LogFormat.JSON:
            return structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
        case LogFormat.CONSOLE:
            return structlog.dev.ConsoleRenderer(
                colors=out.isatty(),
                timestamp_key="at",
                exception_formatter=structlog.dev.plain_traceback,
            )


def _take_over_standard_logging(
    shared: list[Processor], renderer: Processor, out: LogOutput, level: int
) -> None:
    """Libraries log through `logging`: their records become the same lines."""
    handler = logging.StreamHandler(cast(TextIO, out))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
    logging.captureWarnings(capture=True)


@dataclass(frozen=True, slots=True)
class Metrics:
    """Every metric of the process. Labels are bounded: rules, sources, guards, never those of alerts."""

    registry: CollectorRegistry
    alerts_received: Counter
    """`source`, `outcome`: stored, rejected or refused (a delivery that was answered with an error)."""
    alerts_missed: Counter
    """`source`. Deliveries from which alerts were left out; only the source can tell which."""
    intake_seconds: Histogram
    """From the first byte of a delivery to its answer."""
    intake_queue: Gauge
    incidents_opened: Counter
    """`rule`, `severity`."""
    guard_verdicts: Counter
    """`guard`, `ruling`."""
    attempts: Counter
    """`action`, `outcome`."""
    verifications: Counter
    """`verdict`."""
    escalations: Counter
    """`severity`."""
    move_seconds: Histogram
    """One move of one incident, from lease to record."""
    store_up: Gauge
    rulebook_load_failures: Counter
    worker_deposed: Counter
    incidents_unreadable: Counter
    restraints: Gauge
    """`kind`: halts, freezes of people and maintenance windows that stand, those to come included."""
    clock_jumps: Counter
    """`clock`: the database's or this process's own."""
    reconcile_rounds: Counter
    """`source`, `outcome`: complete or incomplete. Of this process."""
    reconcile_taken_in: Counter
    """`source`."""
    reconcile_gone: Counter
    """`source`."""
    reconcile_peers_failing: Gauge
    """`source`. As of this process's last round."""
    reconcile_left_alone: Gauge
    """`source`."""
    reconcile_age: Gauge
    """`source`. By whichever replica the last complete round was."""
    scheduled_runs: Counter
    """`rule`, `outcome`: as_expected, not_as_expected, failed, skipped or missed. Of this process."""
    emergency_pages: Counter
    """`outcome`: sent, repeated, counted or failed."""
    notifications: Counter
    """`channel`, `outcome`: delivered, failed (it is tried again) or given_up."""
    outbox_depth: Gauge
    """`channel`."""
    outbox_oldest: Gauge
    """`channel`."""
    loop_lag_seconds: Histogram
    """How late the event loop wakes."""
    life_signs: Counter
    """`outcome`: taken or missed, of the dead man's switch."""
    build: Info

    def exposition(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)


def build_metrics(version: str) -> Metrics:
    """All metrics at their start, in a new registry together with those of the process itself."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    metrics = Metrics(
        registry=registry,
        alerts_received=Counter(
            "responder_alerts_received_total",
            "Alerts in deliveries, by what became of them.",
            ["source", "outcome"],
            registry=registry,
        ),
        alerts_missed=Counter(
            "responder_alerts_missed_total",
            "Deliveries that were too large, or from which the sender left alerts out.",
            ["source"],
            registry=registry,
        ),
        intake_seconds=Histogram(
            "responder_intake_seconds",
            "Time from the first byte of a delivery to its answer.",
            buckets=_INTAKE_BUCKETS,
            registry=registry,
        ),
        intake_queue=Gauge(
            "responder_intake_queue", "Deliveries that wait for the writer.", registry=registry
        ),
        incidents_opened=Counter(
            "responder_incidents_opened_total", "Incidents opened.", ["rule", "severity"], registry=registry
        ),
        guard_verdicts=Counter(
            "responder_guard_verdicts_total",
            "Verdicts of the guards on attempts.",
            ["guard", "ruling"],
            registry=registry,
        ),
        attempts=Counter(
            "responder_attempts_total", "Ended attempts.", ["action", "outcome"], registry=registry
        ),
        verifications=Counter(
            "responder_verifications_total", "Ended verifications.", ["verdict"], registry=registry
        ),
        escalations=Counter(
            "responder_escalations_total", "Times that people were told.", ["severity"], registry=registry
        ),
        move_seconds=Histogram(
            "responder_move_seconds",
            "Time of one move of one incident.",
            buckets=_MOVE_BUCKETS,
            registry=registry,
        ),
        store_up=Gauge(
            "responder_store_up", "Whether the database answered when last asked.", registry=registry
        ),
        rulebook_load_failures=Counter(
            "responder_rulebook_load_failures_total",
            "Rulebooks that were not loaded because of mistakes in them.",
            registry=registry,
        ),
        worker_deposed=Counter(
            "responder_worker_deposed_total", "Times that this process lost its leases.", registry=registry
        ),
        incidents_unreadable=Counter(
            "responder_incidents_unreadable_total",
            "Times that an incident was due and could not be read: nothing happens to it.",
            registry=registry,
        ),
        restraints=Gauge(
            "responder_restraints",
            "Halts, freezes and maintenance windows that stand, those that have yet to begin included.",
            ["kind"],
            registry=registry,
        ),
        clock_jumps=Counter(
            "responder_clock_jumps_total", "Jumps of a clock that were found.", ["clock"], registry=registry
        ),
        reconcile_rounds=Counter(
            "responder_reconcile_rounds_total",
            "Times that a source was asked for all its alerts.",
            ["source", "outcome"],
            registry=registry,
        ),
        reconcile_taken_in=Counter(
            "responder_reconcile_taken_in_total",
            "Alerts that a source knew and no notification had told of.",
            ["source"],
            registry=registry,
        ),
        reconcile_gone=Counter(
            "responder_reconcile_gone_total",
            "Alerts that ended because no peer of their source knew them any more.",
            ["source"],
            registry=registry,
        ),
        reconcile_peers_failing=Gauge(
            "responder_reconcile_peers_failing",
            "Peers of a source that gave no answer that can be believed.",
            ["source"],
            registry=registry,
        ),
        reconcile_left_alone=Gauge(
            "responder_reconcile_left_alone",
            "Alerts of a source that were handed in again and again and could not be kept.",
            ["source"],
            registry=registry,
        ),
        reconcile_age=Gauge(
            "responder_reconcile_age_seconds",
            "Seconds since the last round in which every peer of a source answered and could be believed.",
            ["source"],
            registry=registry,
        ),
        scheduled_runs=Counter(
            "responder_scheduled_runs_total",
            "Planned runs of scheduled rules, by what became of them.",
            ["rule", "outcome"],
            registry=registry,
        ),
        emergency_pages=Counter(
            "responder_emergency_pages_total",
            "Pages for P0 alerts that could not be stored, by what became of them.",
            ["outcome"],
            registry=registry,
        ),
        notifications=Counter(
            "responder_notifications_total",
            "Tries to tell people, by what became of them.",
            ["channel", "outcome"],
            registry=registry,
        ),
        outbox_depth=Gauge(
            "responder_outbox_depth",
            "Words to people that are neither delivered nor given up.",
            ["channel"],
            registry=registry,
        ),
        outbox_oldest=Gauge(
            "responder_outbox_oldest_seconds",
            "Age of the oldest word to people that is neither delivered nor given up; 0 where none waits.",
            ["channel"],
            registry=registry,
        ),
        loop_lag_seconds=Histogram(
            "responder_event_loop_lag_seconds",
            "How late the event loop wakes: what blocks it holds up heartbeats, effects and answers.",
            buckets=_INTAKE_BUCKETS,
            registry=registry,
        ),
        life_signs=Counter(
            "responder_life_signs_total",
            "Signs of life for the dead man's switch outside, by what became of them.",
            ["outcome"],
            registry=registry,
        ),
        build=Info("responder_build", "The running program.", registry=registry),
    )
    metrics.build.info({"version": version})
    return metrics


_INTAKE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_MOVE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
