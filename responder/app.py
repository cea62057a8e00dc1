"""The composition root: the only place that knows every concrete class, and the order of start and stop."""

import asyncio
import gc
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from itertools import chain
from typing import Any, TypeVar

import structlog
from aiohttp import web
from yarl import URL

from responder import crash_points
from responder.actions.base import Clients
from responder.actions.probes import StandardProbes
from responder.actions.registry import BuiltActions, Registry
from responder.clients.alertmanagers import AlertmanagerClusters
from responder.clients.postgres import PostgresServers
from responder.clients.prometheus import Prometheus
from responder.clients.prometheuses import PrometheusServers
from responder.clients.webhook import Webhook
from responder.engine.by_hand import ActsByHand
from responder.engine.clock_watch import agree_on_clock
from responder.engine.emergency import Unstored
from responder.engine.engine import Engine
from responder.engine.loading import RuleFiles
from responder.memory import give_back_freed_memory
from responder.model.autonomy import Autonomy, Ceiling
from responder.model.errors import PermanentError, ResponderError, StoreRefusesError, TemporaryError
from responder.model.inventory import Inventory
from responder.model.redaction import Redaction
from responder.notify.dead_mans_switch import DeadMansSwitch
from responder.notify.emergency import EmergencyWebhook, Pacing
from responder.notify.log import LogChannel
from responder.notify.settings import DeadMansSwitchSettings, EmergencySettings
from responder.notify.webhook import WebhookChannel
from responder.ports import Channel, Dossier
from responder.review.write import write_review
from responder.rulebook.show import describe
from responder.rulebook.surroundings import SourceFacts, Surroundings
from responder.settings import Settings
from responder.settings.hashes import hashes
from responder.sources.alert_state import SourceStates
from responder.sources.alertmanager import decoder, divider
from responder.sources.lists import lists_of
from responder.sources.remembered import BYTES_AT_MOST, Remembered
from responder.sources.settings import DEFAULT_SOURCE, SourceSettings
from responder.standing import Standing, life_signs, refused
from responder.standing.asked import Asked
from responder.standing.stored import StoreAsked
from responder.store.anchor_file import AnchorFile
from responder.store.anchoring import Anchoring
from responder.store.connection import Connections
from responder.store.embedded import EmbeddedServer
from responder.store.gate import Gate
from responder.store.identity import halt_if_forgotten
from responder.store.migrate import migrate
from responder.store.outbox import Wording
from responder.store.partitions import drop_older, make_ahead
from responder.store.postgres import PostgresStore
from responder.store.secret_file import made_once
from responder.store.startup import check_server
from responder.store.timeline import TimelineKeys
from responder.telemetry import LogOutput, Metrics, build_metrics, configure_logging
from responder.web.api import Api, Part, ReviewFormat, StartedWith, WebhookSource
from responder.web.refusals import Refusals
from responder.web.server import runner

_log = structlog.get_logger(__name__)

T = TypeVar("T")

_SOON = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Running:
    """A responder that serves: where it listens, and what it is made of."""

    url: str
    engine: Engine
    store: PostgresStore
    files: RuleFiles


async def serve(
    settings: Settings, ready: Callable[[str], None] | None = None, *, needs_rules: bool = True
) -> None:
    """Serve until SIGTERM or SIGINT, then stop in order.

    `ready` is called once with the address when everything has started. Without `needs_rules` it also starts
    with rule files that have mistakes: alerts are kept, and matched when the files are mended and reloaded.

    Raises:
        PermanentError: the settings do not fit the world; says what to change.
    """
    log = configure_logging(settings.log, redaction=_redaction(settings))
    give_back_freed_memory()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # until it is up, the files are read anyway
    async with AsyncExitStack() as stack:
        entered = stack.enter_async_context(running(settings, needs_rules=needs_rules, log=log))
        responder = await _unless(stop, entered)
        if responder is None:
            return
        _rest_the_collector()
        if ready is not None:
            ready(responder.url)
        reloads: set[asyncio.Task[None]] = set()

        def reload() -> None:
            task = asyncio.create_task(_reload(responder.files))
            reloads.add(task)
            task.add_done_callback(reloads.discard)

        loop.add_signal_handler(signal.SIGHUP, reload)
        await stop.wait()
        responder.engine.ownership.stop()
        _log.info("stopping")


async def _reload(files: RuleFiles) -> None:
    """By a signal, of which nobody waits for an answer: what it comes to stands in the log."""
    try:
        await files.reload()
    except ResponderError as error:
        _log.error("the rule files could not be reloaded: the old rules stay", why=str(error))
    except Exception:  # noqa: BLE001 - logged; nobody else would hear of it
        _log.exception("the rule files could not be reloaded: the old rules stay")


async def _unless(stop: asyncio.Event, start: Coroutine[None, None, T]) -> T | None:
    """What a start comes to; None where it is told to stop first: then what it had begun is ended."""
    starting, told = asyncio.create_task(start), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        told.cancel()
        if not starting.done():
            await _cancel(starting)
    return None if starting.cancelled() else starting.result()


def _rest_the_collector() -> None:
    """What was built at the start stays: the collector need not look at it, nor at every delivery anew."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def surroundings(settings: Settings, inventory: Inventory, registry: Registry) -> Surroundings:
    """What the check of rules needs to know of these settings.

    Alerts come from somewhere in any case: settings without a source are checked as `responder up` completes
    them, with one that cannot be asked. So a check finds the same mistakes as the service that is started.
    """
    unnamed = {} if settings.sources else {DEFAULT_SOURCE: SourceSettings(name=DEFAULT_SOURCE)}
    return Surroundings(
        catalogue=registry,
        inventory=inventory,
        queries=frozenset(settings.queries),
        sources=tuple(
            SourceFacts(
                name=name,
                has_api=source.askable,
                evaluation_interval=source.evaluation_interval,
                group_interval=source.group_interval,
                endless=source.endless,
            )
            for name, source in (settings.sources or unnamed).items()
        ),
        prometheus=settings.prometheus is not None,
        redaction=_redaction(settings),
        response_times={level: terms.response_time for level, terms in settings.severities.items()},
        budgets=settings.engine.budgets,
    )


@asynccontextmanager
async def running(
    settings: Settings, *, needs_rules: bool = True, log: LogOutput | None = None
) -> AsyncIterator[Running]:
    """A whole responder: started when entered, stopped in order when left.

    It listens before it has reached its database, and for as long as that is away does what can be done
    without: deliveries are answered with 503, and a P0 among them pages. At the stop it listens no more
    before anything else ends.
    """
    async with AsyncExitStack() as stack:
        stored = await _store(settings, stack)
        store, redaction = stored.store, stored.redaction
        metrics = build_metrics(version("responder"))
        inventory = settings.inventory.load()
        servers = PostgresServers(inventory)
        stack.push_async_callback(servers.close)
        engine, asked = await _engine(settings, store, inventory, servers, metrics, redaction, log, stack)
        around = surroundings(settings, inventory, Registry())
        files = RuleFiles(settings.rules, around, store, engine.rules, metrics)
        pager = _pager(settings.emergency, metrics, stack)
        begun = await stack.enter_async_context(AsyncExitStack())
        standing = _standing(stored, engine, files, asked, log, stack, pages=pager is not None)
        switch = _switch(settings.dead_mans_switch, standing, metrics, stack)
        by_hand = ActsByHand(engine.actions, around)
        api = _api(settings, stored, engine, files, metrics, pager, standing, switch, by_hand)
        site = await _listen(api, settings, stack)

        def without_store() -> None:
            if not engine.intake.away:
                files.stand_in()
                engine.store_away()

        async def begin() -> None:
            await _reach(stored, settings)
            await _load_rules(files, store, needs_rules=needs_rules)
            await servers.warm()
            await engine.start()
            if settings.watch_rules:
                engine.each_second("rule files", files.round)

        await _in_the_end(begin, settings.engine.intake_timeout, without_store)
        metrics.store_up.set(1)
        begun.push_async_callback(stored.anchoring.anchor)
        begun.push_async_callback(engine.stop)
        for beside in (_house_keeping(stored, settings, servers), _judge_anew(stored), _lives(switch)):
            begun.push_async_callback(_cancel, asyncio.create_task(beside))
        url = f"http://{site[0]}:{site[1]}"
        _log.info("serving", url=url, autonomy_at_most=settings.engine.reach)
        if (point := crash_points.wanted()) is not None:
            _log.warning("this process will end itself without a warning", crash_point=point)
        yield Running(url, engine, store, files)


def _standing(
    stored: "_Stored",
    engine: Engine,
    files: RuleFiles,
    asked: Asked,
    log: LogOutput | None,
    stack: AsyncExitStack,
    *,
    pages: bool,
) -> Standing:
    """What says how each part of this process stands."""
    store = StoreAsked(stored.store, stored.connections.web, stored.anchoring, engine.halt, pages=pages)
    stack.push_async_callback(store.close)
    return Standing(stored=store, engine=engine, files=files, pages=pages, asked=asked, log=log)


async def _lives(switch: DeadMansSwitch | None) -> None:
    """Say to somebody outside that this process lives, where an address is configured."""
    if switch is not None:
        await switch.run()


@dataclass(frozen=True, slots=True)
class _Stored:
    """The store, what keeps it in order, and what everything goes through that is kept."""

    dsn: str
    gate: Gate
    connections: Connections
    store: PostgresStore
    anchoring: Anchoring
    redaction: Redaction


class _Told:
    """What was logged last: the same again is told once in a while."""

    def __init__(self, every: timedelta) -> None:
        self._every_s = every.total_seconds()
        self._text = ""
        self._at = float("-inf")

    @property
    def any(self) -> bool:
        """Whether anything was told."""
        return bool(self._text)

    def is_new(self, text: str) -> bool:
        """Whether it has to be told now."""
        now = asyncio.get_running_loop().time()
        if text == self._text and now < self._at + self._every_s:
            return False
        self._text, self._at = text, now
        return True


async def _in_the_end(
    begin: Callable[[], Awaitable[None]], patience: timedelta, away: Callable[[], None]
) -> None:
    """Begin; where something is in the way that may pass, again and again.

    `away` is called when that has happened, or takes longer than an alert should wait. A database that
    refuses us ends a start; not one that has begun to wait: whoever is at work on the server sets it up step
    by step.
    """
    told = _Told(_MINUTE)
    late = asyncio.get_running_loop().call_later(patience.total_seconds(), away)
    try:
        while True:
            try:
                return await begin()
            except (TemporaryError, StoreRefusesError) as error:
                if isinstance(error, StoreRefusesError) and not told.any:
                    raise
                if told.is_new(str(error)):
                    _log.error("the service cannot begin yet: no alert is stored", why=str(error))
                away()
                await asyncio.sleep(_SOON.total_seconds())
    finally:
        late.cancel()


def _pager(settings: EmergencySettings, metrics: Metrics, stack: AsyncExitStack) -> EmergencyWebhook | None:
    """Who pages without the database, where a receiver is configured. It ends after the listener."""
    if settings.webhook is None or settings.secret is None:
        return None
    receiver = Webhook(settings.webhook, settings.secret, settings.ca_file)
    pager = EmergencyWebhook(receiver, Pacing(settings.per_minute), settings.timeout, metrics)
    pager.start()
    stack.push_async_callback(pager.close)
    return pager


def _switch(
    settings: DeadMansSwitchSettings, standing: Standing, metrics: Metrics, stack: AsyncExitStack
) -> DeadMansSwitch | None:
    """Who is told that this process lives, where an address is configured."""
    if settings.url is None:
        return None
    switch = DeadMansSwitch(settings, URL(settings.url.get_secret_value()), standing.unready, metrics)
    stack.push_async_callback(switch.close)
    return switch


def _redaction(settings: Settings, key: bytes = b"") -> Redaction:
    """What is secret by these settings. Without the timeline's key it serves for texts and names alone."""
    return Redaction(settings.redaction, key)


async def _store(settings: Settings, stack: AsyncExitStack) -> _Stored:
    """The store, of a database that is not reached yet."""
    dsn, key = await _database(settings, stack)
    redaction = _redaction(settings, key)
    gate = Gate()
    connections = Connections.to(dsn, settings.store, gate.admit)
    stack.push_async_callback(connections.close)
    keys, storm = _timeline_keys(settings, key), settings.engine.terms.storm
    wording = Wording(settings.terms.policy, settings.web.public_url, redaction)
    store = PostgresStore(connections, settings.lease_time, keys, redaction, storm, wording)
    file = AnchorFile(settings.anchor) if settings.anchor is not None else None
    anchoring = Anchoring(store.anchors, file, settings.anchor_every)
    return _Stored(dsn, gate, connections, store, anchoring, redaction)


async def _reach(stored: _Stored, settings: Settings) -> None:
    """The database: checked, migrated, halted where it may have forgotten something, its partitions ahead.

    Its clock is agreed on before it dates an alert, a lease or a heartbeat.

    Only what has gone through all that is let to the lanes.
    """
    await _judged(stored)
    await stored.connections.reach()
    await agree_on_clock(stored.store)
    await make_ahead(stored.connections.workers, await stored.store.now(), settings.partitions_ahead)
    await stored.anchoring.anchor()


async def _judged(stored: _Stored) -> None:
    """A server that may carry the store, with our schema, halted where it may have forgotten something."""
    await check_server(stored.dsn)
    await migrate(stored.dsn)
    for reason in await halt_if_forgotten(stored.dsn, await stored.anchoring.newest()):
        _log.error("halted until a person resumes: the store may have forgotten what was done", why=reason)


async def _judge_anew(stored: _Stored) -> None:
    """Whenever another server answers than before: it is judged as at a start, then sessions are let in."""
    told = _Told(_MINUTE)
    while True:
        await stored.gate.moved.wait()
        try:
            await _judged(stored)
            stored.gate.moved.clear()
        except ResponderError as error:
            if told.is_new(str(error)):
                _log.error("the database cannot be judged yet: nothing is stored", why=str(error))
            await asyncio.sleep(_SOON.total_seconds())


def _timeline_keys(settings: Settings, key: bytes) -> TimelineKeys:
    return TimelineKeys(settings.timeline_key_id, {settings.timeline_key_id: key})


async def _database(settings: Settings, stack: AsyncExitStack) -> tuple[str, bytes]:
    if settings.database is None:
        raise PermanentError(
            "no database is configured: set `database:` (or RESPONDER_DATABASE) to a PostgreSQL DSN, "
            "or to `embedded` for the bundled server"
        )
    if settings.store.embedded:
        server = await asyncio.to_thread(EmbeddedServer.start, settings.data_dir)
        stack.push_async_callback(asyncio.to_thread, server.stop)
        given = _given_key(settings)
        return server.dsn, given if given is not None else made_once(
            settings.data_dir / "timeline.key"
        ).encode()
    key = _given_key(settings)
    if key is None:
        raise PermanentError(
            "no timeline key is configured: set `timeline_key_file:` (or RESPONDER_TIMELINE_KEY) to a secret "
            "of at least 16 bytes; without it nobody could tell whether a timeline was changed"
        )
    return settings.database.get_secret_value(), key


def _given_key(settings: Settings) -> bytes | None:
    if settings.timeline_key is not None:
        return settings.timeline_key.get_secret_value().encode()
    if settings.timeline_key_file is None:
        return None
    try:
        return settings.timeline_key_file.read_bytes().strip()
    except OSError as error:
        where = settings.timeline_key_file
        raise PermanentError(f"the timeline key in {where} cannot be read: {error.strerror}") from None


async def _engine(
    settings: Settings,
    store: PostgresStore,
    inventory: Inventory,
    servers: PostgresServers,
    metrics: Metrics,
    redaction: Redaction,
    log: LogOutput | None,
    stack: AsyncExitStack,
) -> tuple[Engine, Asked]:
    """What decides and acts, and whom it asks."""
    prometheus = [Prometheus(settings.prometheus.url, settings.prometheus.api)] if settings.prometheus else []
    states = SourceStates(settings.sources.values(), redaction)
    stack.push_async_callback(states.close)
    lists = {name: lists_of(source, redaction) for name, source in settings.sources.items() if source.askable}
    for peer in chain.from_iterable(lists.values()):
        stack.push_async_callback(peer.close)
    clusters = AlertmanagerClusters(
        {name: (source.alertmanager, source.api) for name, source in settings.sources.items()}
    )
    stack.push_async_callback(clusters.close)
    of_sources = {
        name: [Prometheus(url, source.api) for url in source.prometheus]
        for name, source in settings.sources.items()
    }
    metrics_of = PrometheusServers(prometheus, of_sources)
    stack.push_async_callback(metrics_of.close)
    queries = {name: query.sql for name, query in settings.queries.items()}
    probes = StandardProbes(prometheus, servers, inventory, queries)
    engine = Engine(
        store=store,
        actions=BuiltActions(Registry(), Clients(inventory, servers, clusters, store, metrics_of)),
        probes=probes,
        alert_state=states,
        outbox=store.outbox,
        channels=channels(settings, log),
        give_up_after=settings.notifications.give_up_after,
        rounds=store.rounds,
        schedules=store.schedules,
        give_backs=store.give_backs,
        inventory=inventory,
        lists=lists,
        metrics=metrics,
        settings=settings.engine,
        terms=settings.terms,
        source_ceilings=source_ceilings(settings),
        lease_time=settings.lease_time,
        heartbeat_every=settings.heartbeat_every,
    )
    return engine, Asked(prometheus=probes.answering, sources=states.answering, postgres=servers.answering)


def channels(settings: Settings, log: LogOutput | None = None) -> list[Channel]:
    """Every way to people: the log, and what the settings name."""
    return [LogChannel(log), *(WebhookChannel(name, one) for name, one in settings.channels.items())]


def source_ceilings(settings: Settings) -> dict[str, Ceiling]:
    """A source without a token takes alerts from anybody on this machine: no effect may follow from them."""
    return {
        name: Ceiling(level=Autonomy.SHADOW, origin=f"source {name} takes alerts without a token")
        for name in settings.open_sources
    }


async def _load_rules(files: RuleFiles, store: PostgresStore, *, needs_rules: bool) -> None:
    """Broken rule files stop the first start; later the last good rulebook goes on."""
    mistakes = await files.reload(log_each=needs_rules)
    if mistakes and needs_rules and await store.active_rulebook() is None:
        told = "\n".join(str(mistake) for mistake in mistakes)
        raise PermanentError(f"the rule files have mistakes, and no earlier rulebook is active:\n{told}")


def _api(
    settings: Settings,
    stored: _Stored,
    engine: Engine,
    files: RuleFiles,
    metrics: Metrics,
    pager: EmergencyWebhook | None,
    standing: Standing,
    switch: DeadMansSwitch | None,
    by_hand: ActsByHand,
) -> Api:
    def review(dossier: Dossier, form: ReviewFormat) -> str:
        return write_review(dossier, form, settings.severities)

    refusals = Refusals()

    async def ready() -> Sequence[Part]:
        return [*await standing.parts(), *life_signs(switch), *refused(refusals)]

    return Api(
        settings=settings.web,
        intake=engine.intake,
        desk=stored.store,
        store=stored.store,
        history=stored.store.history,
        terms=settings.terms,
        sources=_webhooks(settings, stored.redaction),
        metrics=metrics,
        rules=files,
        ready=ready,
        review=review,
        halt_file=engine.halt.file_reason,
        started_with=_started_with(settings),
        ceilings=engine.trust.possible,
        anchor=lambda: stored.anchoring.state,
        dispatch=engine.dispatcher,
        channels=engine.dispatcher.names,
        describe_rule=describe,
        by_hand=by_hand,
        schedules=stored.store.schedule_desk,
        foresee=engine.foresight.of,
        budgets=settings.engine.budgets,
        freezes=engine.freezes,
        redaction=stored.redaction,
        unstored=Unstored(engine.rules, pager) if pager is not None else None,
        askable=frozenset(engine.reconcile.sources),
        refusals=refusals,
    )


def _webhooks(settings: Settings, redaction: Redaction) -> dict[str, WebhookSource]:
    """Who may deliver what; each remembers what it has decoded in its part of the room."""
    room = BYTES_AT_MOST // max(1, len(settings.sources))
    return {
        name: WebhookSource(
            name=name,
            decode=decoder(source, redaction, Remembered(room)),
            divide=divider(source, redaction),
            token=source.bearer(),
            basic=source.basic(),
        )
        for name, source in settings.sources.items()
    }


def _started_with(settings: Settings) -> StartedWith:
    return StartedWith(
        settings=hashes(settings),
        halt_file=settings.engine.halt_file,
        promoted=frozenset(settings.engine.promoted),
    )


async def _listen(api: Api, settings: Settings, stack: AsyncExitStack) -> tuple[str, int]:
    """Listen; the address, with the port that was really taken."""
    serving = runner(api)
    await serving.setup()
    stack.push_async_callback(serving.cleanup)
    listen = settings.web.listen
    try:
        await web.TCPSite(serving, listen.host, listen.port).start()
    except OSError as error:
        raise PermanentError(
            f"cannot listen on {listen}: {error.strerror}; does another process have the port? "
            "Choose one with web.listen"
        ) from None
    family, address = _first_address(serving)
    host = f"[{address[0]}]" if family == socket.AF_INET6 else address[0]
    return host, address[1]


def _first_address(serving: web.AppRunner) -> tuple[socket.AddressFamily, tuple[str, int]]:
    address = serving.addresses[0]
    family = socket.AF_INET6 if len(address) > 2 else socket.AF_INET  # noqa: PLR2004 - (host, port, flow, scope)
    return family, (address[0], address[1])


async def _house_keeping(stored: _Stored, settings: Settings, servers: PostgresServers) -> None:
    """Every minute: standing connections, the journal's days, old dead letters, the anchor where it is due.

    A standing connection that was lost while idle must be replaced before its server has no slot left. What
    fails holds back nothing else and comes again: a journal without days to come would take no alerts.
    """
    chores: Mapping[str, Callable[[], Awaitable[object]]] = {
        "standing connections": servers.warm,
        "days of the journal to come": lambda: _make_days(stored, settings),
        "days of the journal that are over": lambda: _drop_days(stored, settings),
        "old dead letters": lambda: _expire_letters(stored, settings),
        "old notifications": lambda: stored.store.outbox.expire(settings.notifications.kept_for),
        "old runs of scheduled rules": lambda: stored.store.schedules.expire(
            settings.scheduled_runs_kept_for
        ),
        "freezes and maintenance that are over": stored.store.expire_restraints,
        "anchor": stored.anchoring.round,
    }
    while True:
        await asyncio.sleep(_MINUTE.total_seconds())
        for name, chore in chores.items():
            try:
                await chore()
            except ResponderError as error:
                _log.error("house keeping failed", what=name, error=str(error))
            except Exception:  # noqa: BLE001 - logged; whatever it is, it must not end the keeping of the house
                _log.exception("house keeping failed", what=name)


async def _make_days(stored: _Stored, settings: Settings) -> None:
    await make_ahead(stored.connections.workers, await stored.store.now(), settings.partitions_ahead)


async def _drop_days(stored: _Stored, settings: Settings) -> None:
    if not settings.journal_kept_for:
        return
    before = await stored.store.now() - settings.journal_kept_for
    for name in await drop_older(stored.dsn, before):
        _log.info("a day of the journal was dropped", partition=name)
    await stored.store.history.forget(before)


async def _expire_runs(stored: _Stored, settings: Settings) -> None:
    await stored.store.schedules.expire(settings.scheduled_runs_kept_for)


async def _expire_letters(stored: _Stored, settings: Settings) -> None:
    if expired := await stored.store.expire_dead_letters(settings.dead_letters_kept_for):
        _log.warning("dead letters that nobody looked at have expired", letters=expired)


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
