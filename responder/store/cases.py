"""Reading incidents: rows as models, and everything about one of them in a single statement.

One statement sees one moment, so counts, attempt and `wakes` belong together. Members are counted, never
carried: at most `SAMPLE` of them leave the database.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from responder.clients.boottime import boottime
from responder.decide.case import Case, Finding
from responder.decide.inhibit import inhibits, together
from responder.model.attempt import Attempt
from responder.model.autonomy import Autonomy
from responder.model.errors import DeposedError, PermanentError
from responder.model.incident import SAMPLE, Command, Incident, MemberAlert, Members
from responder.model.rule import Rule, Rulebook
from responder.model.storm import UMBRELLA, Storm, StormTerms
from responder.ports import Lease
from responder.store import inhibition, restraints
from responder.store.clock import ServiceClock
from responder.store.connection import Connection
from responder.store.rulebooks import Rulebooks

INCIDENT_COLUMNS = """
i.id, i.rule, i.rulebook_hash, i.key, i.severity, i.state, i.opened_at, i.state_since, i.deadline, i.due_at,
i.epoch, i.progress, i.wakes, i.timeline_length, i.by_hand
"""

_HEARD = 200
"""How many firing members are asked for their newest observation, the newest members first.

Beyond that the answer may be older than the truth, never newer: so large an incident is rather taken for
too old than for fresh.
"""

_COUNTS = f"""
SELECT jsonb_build_object(
    'total', count(*),
    'firing', count(*) FILTER (WHERE m.firing),
    'first_starts_at', min(m.starts_at),
    'sources', CASE
        WHEN count(*) = 0 THEN '[]'
        WHEN min(m.source) = max(m.source) THEN jsonb_build_array(min(m.source))
        ELSE (SELECT jsonb_agg(DISTINCT o.source) FROM members o WHERE o.incident_id = i.id) END,
    'first_heard_at', min(coalesce(m.heard_at, m.joined_at)),
    'newest_seen_at', (
        SELECT max(a.seen_at)
        FROM (
            SELECT source, fingerprint FROM members
            WHERE incident_id = i.id AND firing ORDER BY joined_at DESC LIMIT {_HEARD}
        ) f JOIN alerts a USING (source, fingerprint)))
FROM members m WHERE m.incident_id = i.id
"""

_SAMPLE = f"""
SELECT jsonb_agg(jsonb_build_object(
           'source', m.source, 'fingerprint', m.fingerprint, 'generation', m.generation, 'labels', a.labels,
           'annotations', a.annotations, 'generator_url', a.generator_url, 'starts_at', m.starts_at,
           'ends_at', m.ends_at, 'joined_at', m.joined_at,
           'seen_at', CASE WHEN m.generation = a.generation THEN a.seen_at ELSE m.seen_at END)
       ORDER BY m.firing DESC, m.joined_at DESC, m.source, m.fingerprint)
FROM (
    SELECT * FROM members WHERE incident_id = i.id ORDER BY firing DESC, joined_at DESC LIMIT {SAMPLE}
) m JOIN alerts a USING (source, fingerprint)
"""

_ATTEMPT = """
SELECT to_jsonb(t) - 'number' FROM attempts t WHERE t.incident_id = i.id ORDER BY t.number DESC LIMIT 1
"""

_NEWEST_OF = """
SELECT {column} FROM attempts t WHERE t.incident_id = i.id ORDER BY t.number DESC LIMIT 1
"""

_HOLDS = f"""
SELECT bool_and(NOT c.quarantined) FROM claims c
WHERE c.attempt_id = ({_NEWEST_OF.format(column="coalesce(t.all_of, t.id)")})
"""

_PARTS = f"""
SELECT jsonb_agg(to_jsonb(p) - 'number' ORDER BY p.number) FROM attempts p
WHERE p.all_of = ({_NEWEST_OF.format(column="t.all_of")})
"""

_COMMAND = """
SELECT to_jsonb(c) - '{number,applied_at}'::text[]
FROM commands c WHERE c.incident_id = i.id AND c.applied_at IS NULL ORDER BY c.number LIMIT 1
"""

_FINDINGS = """
SELECT jsonb_agg(jsonb_build_object('id', f.id, 'action', f.action, 'summary', f.summary, 'facts', f.facts)
                 ORDER BY f.number)
FROM findings f WHERE f.incident_id = i.id AND f.told_at IS NULL
"""

_PROMOTIONS = """
SELECT jsonb_object_agg(p.acting_hash, p.level)
FROM (
    SELECT DISTINCT ON (acting_hash) acting_hash, level FROM promotions
    WHERE rule = i.rule ORDER BY acting_hash, id DESC
) p
"""
"""The newest word on every version of its rule."""

_COVERED = """
SELECT jsonb_build_object('covered', coalesce(jsonb_object_agg(g.rule, g.number), '{}'),
                          'still_firing', coalesce(sum(g.firing), 0))
FROM (
    SELECT p.rule, count(*) AS number,
           count(*) FILTER (WHERE p.state = 'recorded' AND (
               SELECT m.firing FROM members m
               WHERE m.incident_id = p.id ORDER BY m.firing DESC, m.joined_at DESC LIMIT 1)) AS firing
    FROM incidents p WHERE p.progress ->> 'part_of' = i.id::text GROUP BY p.rule
) g
"""


def _raging(terms: StormTerms) -> str:
    """The newest openings by id, which sorts by time: no more of them are looked at than make a storm."""
    return f"""
SELECT jsonb_build_object(
    'openings', (SELECT count(*) FROM (
        SELECT FROM incidents o
        WHERE o.id > (SELECT first_uuid7(wall_clock() + shift - interval '{terms.within.total_seconds()}s')
                      FROM service_clock)
              AND o.rule <> '{UMBRELLA.name}'
        ORDER BY o.id DESC LIMIT {terms.openings}) n),
    'umbrella', (SELECT u.id FROM incidents u
                 WHERE u.rule = '{UMBRELLA.name}' AND u.state <> 'closed'
                       AND u.state NOT IN ('resolved', 'recorded')))
"""


def _storm(terms: StormTerms) -> str:
    """What is known of a storm, and of an umbrella incident what is part of it."""
    return f"""
{_raging(terms)}
    || CASE WHEN i.rule = '{UMBRELLA.name}' THEN ({_COVERED}) ELSE '{{}}' END
"""


MEMBERS = f"({_COUNTS}) AS counts, ({_SAMPLE}) AS sample"

CASE_COLUMNS = "wall_clock() AS wall, c.shift, c.taken_back, i.timeline_head, to_jsonb(b) AS body"


def case_body(storm: StormTerms) -> str:
    """Everything else about the incident `i`.

    As JSON it comes over the wire whatever it holds: what cannot be understood in it is found by `case_of`,
    which knows whose it is.
    """
    return f"""
service_clock c, LATERAL (
    SELECT {INCIDENT_COLUMNS}, {MEMBERS}, ({_ATTEMPT}) AS attempt,
           ({_PARTS}) AS parts, coalesce(({_HOLDS}), false) AS holds, ({_COMMAND}) AS command,
           ({_FINDINGS}) AS findings,
           (SELECT hash FROM active_rulebook) AS active_hash, ({_PROMOTIONS}) AS promotions,
           ({_storm(storm)}) AS storm,
           ({restraints.MAINTENANCE}) AS maintenance
) b
"""


async def storm_now(connection: Connection, terms: StormTerms) -> Storm:
    """Whether a storm rages, without an incident to which it matters."""
    return Storm.model_validate(await connection.fetchval(_raging(terms)))


def load(storm: StormTerms) -> str:
    """The query of `load_case`."""
    return f"""
SELECT {CASE_COLUMNS} FROM incidents i, {case_body(storm)} WHERE i.id = $1 AND i.owner = $2 AND i.epoch = $3
"""


async def load_case(
    connection: Connection, clock: ServiceClock, lease: Lease, rulebooks: Rulebooks, query: str
) -> Case:
    """The case as it stands now.

    Raises:
        DeposedError: the lease is lost.
        PermanentError: the rule that the incident is pinned to is gone from the database.
    """
    before = boottime()
    row = await connection.fetchrow(query, lease.incident_id, lease.worker_id, lease.epoch)
    if row is None:
        raise DeposedError(f"incident {lease.incident_id} belongs to another worker now")
    return await case_of(connection, clock, row, before, rulebooks)


async def case_of(
    connection: Connection, clock: ServiceClock, row: asyncpg.Record, before: float, rulebooks: Rulebooks
) -> Case:
    """The case of a row with the `CASE_COLUMNS`, asked for at `before`.

    Raises:
        PermanentError: the rule that the incident is pinned to is gone from the database.
    """
    now, _ = clock.judge(row, before)
    body = row["body"]
    incident = as_incident(body)
    active = await rulebooks.get(connection, body["active_hash"]) if body["active_hash"] else None
    pinned, rule = await _pinned(connection, incident, rulebooks)
    current = _rule(active, incident.rule)
    sides = ((rule, pinned), (current, active))
    wanted = together(*(inhibits(one, incident.key, book) for one, book in sides if one and book))
    return Case(
        now=now,
        incident=incident,
        rule=rule,
        current=current,
        current_hash=body["active_hash"],
        timeline_head=row["timeline_head"],
        promotions={acting: Autonomy[level.upper()] for acting, level in (body["promotions"] or {}).items()},
        members=as_members(body),
        attempt=Attempt.model_validate(body["attempt"]) if body["attempt"] else None,
        parts=tuple(Attempt.model_validate(part) for part in body["parts"] or ()),
        holds=body["holds"],
        command=Command.model_validate(body["command"]) if body["command"] else None,
        maintenance=restraints.as_windows(body["maintenance"]),
        findings=tuple(Finding.model_validate(finding) for finding in body["findings"] or ()),
        storm=Storm.model_validate(body["storm"]),
        inhibits=wanted,
        inhibitor=await inhibition.find(connection, wanted, now),
    )


async def pinned_rule(connection: Connection, incident: Incident, rulebooks: Rulebooks) -> Rule:
    """The rule as it was when the incident's ladder began; the storm's is of no rulebook."""
    _, rule = await _pinned(connection, incident, rulebooks)
    return rule


async def _pinned(
    connection: Connection, incident: Incident, rulebooks: Rulebooks
) -> tuple[Rulebook | None, Rule]:
    if incident.rule == UMBRELLA.name:
        return None, UMBRELLA
    book = await rulebooks.get(connection, incident.rulebook_hash)
    rule = _rule(book, incident.rule)
    if rule is None:
        raise PermanentError(
            f"incident {incident.id} is pinned to the rule {incident.rule!r} of rulebook "
            f"{incident.rulebook_hash[:12]}, which has none of that name"
        )
    return book, rule


async def read_incidents(connection: Connection, where: str, *values: Any) -> list[Incident]:
    """Incidents by a condition of ours, with what follows it."""
    rows = await connection.fetch(f"SELECT {INCIDENT_COLUMNS} FROM incidents i {where}", *values)
    return [as_incident(row) for row in rows]


async def read_members(connection: Connection, incident_id: UUID) -> Members:
    """Counts and a sample of an incident's members."""
    row = await connection.fetchrow(f"SELECT {MEMBERS} FROM incidents i WHERE i.id = $1", incident_id)
    return Members(firing=0, total=0) if row is None else as_members(row)


def as_incident(row: Mapping[str, Any] | asyncpg.Record) -> Incident:
    """The columns of `INCIDENT_COLUMNS`."""
    return Incident.model_validate({name: row[name] for name in Incident.model_fields})


def as_members(row: Mapping[str, Any] | asyncpg.Record) -> Members:
    """The columns of `MEMBERS`."""
    sample = tuple(MemberAlert.model_validate(member) for member in row["sample"] or ())
    common = common_labels([member.labels for member in sample])
    return Members.model_validate({**row["counts"], "sample": sample, "common_labels": common})


def common_labels(labels: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The labels that all have with the same value."""
    first = labels[0] if labels else {}
    return {name: value for name, value in first.items() if all(each.get(name) == value for each in labels)}


def _rule(rulebook: Rulebook | None, name: str) -> Rule | None:
    return None if rulebook is None else rulebook.rule(name)
