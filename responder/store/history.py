"""What fired before now, for whoever thinks about rules: the journal read in order, and what was imported.

Nothing here is read by what acts. Pages are bounded, and each is a statement of its own: whoever reads a
month takes minutes over it, and no transaction may last that long. The journal has no index over time,
because every delivery would pay for it: a page reads the rows of one day, and sorts them.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from responder.model.alert import Alert
from responder.model.base import json_of_texts
from responder.ports import HeardAlert, HeardPage, JournalPage, KeptPast, RecordedPage
from responder.store.clock import ServiceClock
from responder.store.connection import Lane
from responder.store.transaction import transaction

_DAY = timedelta(days=1)

_IMPORTING = 0x7265_7370_6F6E_6423
"""The advisory lock that keeps two imports from keeping one episode twice."""

_DAYS = """
SELECT to_date(substr(child.relname, 9), 'YYYYMMDD')
FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
WHERE inhparent = to_regclass('journal') AND NOT inhdetachpending AND child.relname ~ '^journal_[0-9]{8}$'
ORDER BY 1
"""

_FIRST = """
SELECT min(received_at) FROM journal WHERE received_at >= $1 AND received_at < $2
"""

_PAGE = r"""
SELECT received_at, json_build_array(received_at, source, fingerprint, standing, starts_at, ends_at, labels,
                                     annotations, generator_url, encode(content_hash, 'hex'))::text AS line
FROM (
    SELECT received_at, source, fingerprint, standing, starts_at, ends_at, labels, annotations, generator_url,
           content_hash
    FROM journal WHERE received_at > $1 AND received_at < $2
    UNION ALL
    SELECT starts_at, source, fingerprint, 'firing', starts_at, NULL, labels, '{}', '', '\x01'
    FROM imported_episodes WHERE starts_at > $1 AND starts_at < $2
    UNION ALL
    SELECT ends_at, source, fingerprint, 'resolved', starts_at, ends_at, labels, '{}', '', '\x00'
    FROM imported_episodes WHERE ends_at > $1 AND ends_at < $2
) AS rows
ORDER BY received_at
FETCH FIRST $3 ROWS WITH TIES
"""
"""Rows of one moment are never parted: they may be of one delivery, which was matched as one. Where one
imported episode ends as the next begins, the end comes first (`Observation.order`)."""

_NEXT = """
SELECT least(
    (SELECT min(starts_at) FROM imported_episodes WHERE starts_at >= $1),
    (SELECT min(ends_at) FROM imported_episodes WHERE ends_at >= $1),
    (SELECT min(to_timestamp(substr(child.relname, 9), 'YYYYMMDD'))
     FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
     WHERE inhparent = to_regclass('journal') AND NOT inhdetachpending
           AND child.relname ~ '^journal_[0-9]{8}$'
           AND to_timestamp(substr(child.relname, 9), 'YYYYMMDD') >= $1)
) - interval '1 microsecond'
"""
"""Days in which nothing was heard are passed over."""

_KEEP = """
WITH new AS MATERIALIZED (
    SELECT * FROM unnest($2::text[], $3::timestamptz[], $4::timestamptz[], $5::text[])
                  AS r (fingerprint, starts_at, ends_at, labels)
),
known AS MATERIALIZED (
    SELECT new.fingerprint, new.starts_at, old.starts_at AS known_as,
           coalesce(new.ends_at, 'infinity') <> coalesce(old.ends_at, 'infinity')
               AND (old.ends_at IS NULL OR coalesce(new.ends_at, 'infinity') > old.ends_at) AS longer
    FROM new JOIN imported_episodes old
         ON old.fingerprint = new.fingerprint AND old.source = $1
            AND old.starts_at < coalesce(new.ends_at, 'infinity')
            AND coalesce(old.ends_at, 'infinity') > new.starts_at
),
extended AS (
    UPDATE imported_episodes old
    SET ends_at = u.ends_at
    FROM (
        SELECT known.fingerprint, known.known_as,
               nullif(max(coalesce(new.ends_at, 'infinity')), 'infinity') AS ends_at
        FROM known JOIN new USING (fingerprint, starts_at)
        WHERE known.longer
        GROUP BY known.fingerprint, known.known_as
    ) AS u
    WHERE old.source = $1 AND old.fingerprint = u.fingerprint AND old.starts_at = u.known_as
    RETURNING 1
),
kept AS (
    INSERT INTO imported_episodes (source, fingerprint, starts_at, ends_at, labels, imported_at)
    SELECT DISTINCT ON (fingerprint, starts_at) $1, fingerprint, starts_at, ends_at, labels::jsonb, $6
    FROM new WHERE NOT EXISTS (
        SELECT FROM known WHERE (known.fingerprint, known.starts_at) = (new.fingerprint, new.starts_at))
    ORDER BY fingerprint, starts_at
    RETURNING 1
)
SELECT (SELECT count(*) FROM kept), (SELECT count(*) FROM extended)
"""
"""An episode that overlaps one that is there is that one: a later import knows more of its end."""

_EXPIRE = "DELETE FROM imported_episodes WHERE ends_at < $1"

_HEARD = """
SELECT source, fingerprint, labels, episodes, seen_at
FROM (
    SELECT source, fingerprint, labels, generation AS episodes, seen_at
    FROM alerts WHERE seen_at >= $1 AND generation > 0
    UNION ALL
    SELECT source, fingerprint, (array_agg(labels))[1], count(*), max(coalesce(ends_at, imported_at))
    FROM imported_episodes WHERE coalesce(ends_at, imported_at) >= $1
    GROUP BY source, fingerprint
) AS heard
WHERE (source, fingerprint) > ($2, $3)
ORDER BY source, fingerprint
FETCH FIRST $4 ROWS WITH TIES
"""


_RECORDED = """
WITH page AS MATERIALIZED (
    SELECT id, rule, encode(key_hash, 'hex') AS key, opened_at FROM incidents
    WHERE id > coalesce($3, first_uuid7($1)) AND id < first_uuid7($2)
          AND (by_hand IS NULL OR by_hand->>'gives_back' IS NOT NULL)
    ORDER BY id LIMIT $4
),
told AS (
    SELECT p.id, p.rule, p.key, t.at, 1 AS place, t.number, t.kind, t.facts
    FROM page p JOIN timeline t ON t.incident_id = p.id
    WHERE t.kind IN ('evidence', 'judged', 'verification')
    UNION ALL
    SELECT p.id, p.rule, p.key, a.intended_at, 2, a.number, 'attempt', json_build_object(
        'step', a.step, 'action', a.action, 'target', a.target,
        'elements', a.elements, 'state_before', a.state_before, 'outcome', a.outcome, 'results', a.results)
    FROM page p JOIN attempts a ON a.incident_id = p.id
    UNION ALL
    SELECT p.id, p.rule, p.key, c.given_at, 3, c.number, 'command', json_build_object(
        'kind', c.kind, 'actor', c.actor, 'reason', c.reason, 'facts', c.facts)
    FROM page p JOIN commands c ON c.incident_id = p.id
)
SELECT (SELECT count(*) FROM page) AS incidents, (SELECT max(id::text)::uuid FROM page) AS last,
       (SELECT max(opened_at) FROM page) AS opened,
       array(SELECT json_build_array(at, kind, rule, key, facts)::text
             FROM told ORDER BY at, place, number, id) AS lines
"""

_RESTRAINTS = """
SELECT json_build_array(since, 'restraint', '', '', to_json(r))::text AS line
FROM (SELECT id, kind, match, allow, actor, reason, since, until, ended_at FROM restraints
      WHERE since < $2 AND coalesce(least(ended_at, until), 'infinity') > $1) AS r
ORDER BY since, id
"""
_SLACK = timedelta(seconds=1)
"""Ids of incidents sort by the milliseconds of their opening, and no more."""


class PostgresHistory:
    """See `ports.History`."""

    def __init__(self, lane: Lane, clock: ServiceClock) -> None:
        self._lane = lane
        self._clock = clock

    async def heard_since(self) -> datetime | None:
        """See `ports.History.heard_since`."""
        async with self._lane.connection() as connection:
            for row in await connection.fetch(_DAYS):
                day = datetime.combine(row[0], datetime.min.time(), UTC)
                first: datetime | None = await connection.fetchval(_FIRST, day, day + _DAY)
                if first is not None:
                    return first
        return None

    async def keep(self, source: str, episodes: Sequence[Alert]) -> KeptPast:
        """See `ports.History.keep`."""
        async with transaction(self._lane) as connection:
            await connection.execute("select pg_advisory_xact_lock($1)", _IMPORTING)
            row = await connection.fetchrow(
                _KEEP,
                source,
                [one.fingerprint for one in episodes],
                [one.starts_at for one in episodes],
                [one.ends_at for one in episodes],
                [json_of_texts(one.labels) for one in episodes],
                await self._clock.now(connection),
            )
        new, longer = (row[0], row[1]) if row is not None else (0, 0)
        return KeptPast(new=new, longer=longer, known=len(episodes) - new - longer)

    async def rows(self, after: datetime, until: datetime, at_least: int) -> JournalPage:
        """See `ports.History.rows`."""
        begin: datetime | None = after
        async with self._lane.connection() as connection:
            while begin is not None and begin < until:
                end = min(_midnight(begin), until)
                found = await connection.fetch(_PAGE, begin, end, at_least)
                if found:
                    whole = len(found) < at_least
                    last = end - timedelta.resolution if whole else found[-1]["received_at"]
                    return JournalPage(tuple(row["line"] for row in found), last)
                begin = await connection.fetchval(_NEXT, end)
        return JournalPage((), until)

    async def recorded(
        self, since: datetime, until: datetime, after: UUID | None, incidents: int
    ) -> RecordedPage:
        """See `ports.History.recorded`."""
        async with self._lane.connection() as connection:
            standing = () if after is not None else await connection.fetch(_RESTRAINTS, since, until)
            page = await connection.fetchrow(_RECORDED, since, until, after, incidents)
        if page is None:
            raise AssertionError("a statement without FROM has one row")
        lines = (*(row["line"] for row in standing), *page["lines"])
        if page["incidents"] < incidents:
            return RecordedPage(lines, None, until)
        return RecordedPage(lines, page["last"], page["opened"] - _SLACK)

    async def forget(self, before: datetime) -> None:
        """See `ports.History.forget`."""
        async with self._lane.connection() as connection:
            await connection.execute(_EXPIRE, before)

    async def heard(self, since: datetime, after: tuple[str, str], at_least: int) -> HeardPage:
        """See `ports.History.heard`."""
        async with self._lane.connection() as connection:
            found = await connection.fetch(_HEARD, since, *after, at_least)
        alerts = tuple(HeardAlert.model_validate(dict(row)) for row in found)
        ends = len(alerts) < at_least
        return HeardPage(alerts=alerts, after=None if ends else (alerts[-1].source, alerts[-1].fingerprint))


def _midnight(begin: datetime) -> datetime:
    """The end of the day of what comes right after a moment."""
    first = (begin + timedelta.resolution).astimezone(UTC)
    return first.replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
