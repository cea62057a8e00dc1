"""Puts the routes and their checks together into one application."""

import logging

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from responder.web import access
from responder.web.answers import errors_as_json
from responder.web.api import Api
from responder.web.approvals import Approvals
from responder.web.by_hand import ByHandRoutes
from responder.web.dead_letters import DeadLetters
from responder.web.give_backs import GiveBacks
from responder.web.health import Health
from responder.web.history import HistoryRoutes
from responder.web.incidents import Incidents
from responder.web.limits import Limits
from responder.web.notifications import Notifications
from responder.web.operations import Operations
from responder.web.redacted import redact_answers
from responder.web.reports import Reports
from responder.web.restraints import RestraintRoutes
from responder.web.rules import Rules
from responder.web.schedules import ScheduleRoutes
from responder.web.sources import Sources
from responder.web.webhooks import Webhooks

STOP_TIMEOUT = 15.0
"""Seconds that open requests have to end when the listener stops: an intake commit fits in."""


def runner(api: Api) -> web.AppRunner:
    """The application, ready to be given a site. Use this rather than a runner of your own.

    Bodies are unpacked by `bodies`, under its limits, and not by the server. Who has connected is not told
    at each request: the metrics count them, and credentials can stand in an access log.
    """
    return web.AppRunner(
        build(api),
        access_log=None,
        auto_decompress=False,
        shutdown_timeout=STOP_TIMEOUT,
        keepalive_timeout=api.settings.idle_timeout.total_seconds(),
        logger=_server_log(),
    )


class _ClientsMistakes(logging.Filter):
    """Keeps out what a client did: whoever reaches the port could fill the log, and headers have secrets."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | ConnectionError)


def _server_log() -> logging.Logger:
    """The log of the server itself: what fails outside of every route."""
    log = logging.getLogger("responder.web.connections")
    if not log.filters:
        log.addFilter(_ClientsMistakes())
    return log


def build(api: Api) -> web.Application:
    """The application. Bodies are limited where they are read, each route by its own limit."""
    app = web.Application(
        middlewares=[
            redact_answers(api.redaction),
            errors_as_json,
            access.count_refusals(api.refusals, frozenset(api.sources)),
            access.check_host(api.settings),
            access.check_origin,
            access.check_people(api.settings),
        ]
    )
    for routes in (
        Webhooks(api),
        Incidents(api),
        ByHandRoutes(api),
        Approvals(api),
        Operations(api),
        Limits(api),
        GiveBacks(api),
        Notifications(api),
        RestraintRoutes(api),
        DeadLetters(api),
        Rules(api),
        HistoryRoutes(api),
        Reports(api),
        ScheduleRoutes(api),
        Sources(api),
        Health(api),
    ):
        app.add_routes(routes.routes())
    return app
