-- The first schema. What belongs here: tables, the indexes that queries need, and what only the database can promise
-- (one live incident for each key, one claim for each target, an append-only timeline).
--
-- Indexes stand over hashes, ids, times and short names only: a label value may be a megabyte long, and a btree entry
-- holds 8,191 bytes. Text keys sort bytewise (COLLATE "C"), as Python sorts them, because the order of keys is the
-- order of locks.

-- Time ---------------------------------------------------------------------------------------------------------------

CREATE TABLE service_clock (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    shift    interval NOT NULL DEFAULT '0'
);
COMMENT ON TABLE service_clock IS 'How far service time is ahead of the wall clock: what a jump of the clock is taken back by.';
INSERT INTO service_clock DEFAULT VALUES;

CREATE FUNCTION service_time() RETURNS timestamptz
    LANGUAGE sql VOLATILE PARALLEL SAFE
    AS $$ SELECT clock_timestamp() + (SELECT shift FROM service_clock) $$;
COMMENT ON FUNCTION service_time() IS 'The time that due times, leases, cooldowns and limits count in.';

-- What was heard -----------------------------------------------------------------------------------------------------

CREATE TABLE journal (
    source        text COLLATE "C" NOT NULL,
    fingerprint   text COLLATE "C" NOT NULL,
    received_at   timestamptz NOT NULL,
    content_hash  bytea NOT NULL,
    standing      text NOT NULL,
    starts_at     timestamptz NOT NULL,
    ends_at       timestamptz,
    labels        jsonb NOT NULL,
    annotations   jsonb NOT NULL,
    generator_url text NOT NULL,
    PRIMARY KEY (source, fingerprint, received_at, content_hash)
) PARTITION BY RANGE (received_at);
COMMENT ON TABLE journal IS 'Every observation of every alert, appended; a partition for each day (UTC).';

CREATE TABLE alerts (
    source                text COLLATE "C" NOT NULL,
    fingerprint           text COLLATE "C" NOT NULL,
    labels                jsonb NOT NULL,
    annotations           jsonb NOT NULL,
    generator_url         text NOT NULL,
    generation            integer NOT NULL,
    starts_at             timestamptz NOT NULL,
    ends_at               timestamptz,
    last_end              timestamptz,
    last_end_received_at  timestamptz,
    seen_at               timestamptz NOT NULL,
    last_received_at      timestamptz NOT NULL,
    last_hash             bytea NOT NULL,
    contested_at          timestamptz,
    contested_starts_at   timestamptz,
    PRIMARY KEY (source, fingerprint)
) WITH (fillfactor = 80);
COMMENT ON TABLE alerts IS 'What the fold says now, one row for each alert.';
CREATE INDEX alerts_contested ON alerts (contested_at) WHERE contested_at IS NOT NULL;
CREATE INDEX alerts_firing ON alerts (source, fingerprint, generation) WHERE ends_at IS NULL AND generation > 0;

CREATE TABLE source_positions (
    source      text COLLATE "C" NOT NULL,
    topic       text COLLATE "C" NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint NOT NULL,
    moved_at    timestamptz NOT NULL,
    PRIMARY KEY (source, topic, partition)
);

CREATE TABLE dead_letters (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source      text NOT NULL,
    reason      text NOT NULL,
    payload     text NOT NULL,
    received_at timestamptz NOT NULL
);

-- Rules --------------------------------------------------------------------------------------------------------------

CREATE TABLE rulebooks (
    hash      text PRIMARY KEY,
    body      text NOT NULL,
    origin    text NOT NULL,
    stored_at timestamptz NOT NULL
);
COMMENT ON COLUMN rulebooks.body IS 'JSON as text: jsonb would write numbers anew, and the hash is over what was written.';

CREATE TABLE active_rulebook (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    hash         text NOT NULL REFERENCES rulebooks,
    origin       text NOT NULL,
    activated_at timestamptz NOT NULL
);

CREATE TABLE promotions (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule        text NOT NULL,
    acting_hash text NOT NULL,
    level       text NOT NULL,
    actor       text NOT NULL,
    reason      text NOT NULL,
    promoted_at timestamptz NOT NULL
);
COMMENT ON TABLE promotions IS 'How far an acting part may go; the newest row of an acting part counts.';
CREATE INDEX promotions_by_part ON promotions (acting_hash, id);

-- Incidents ----------------------------------------------------------------------------------------------------------

CREATE TABLE workers (
    id           uuid PRIMARY KEY,
    host         text NOT NULL,
    roles        text[] NOT NULL,
    started_at   timestamptz NOT NULL,
    heartbeat_at timestamptz NOT NULL
);

CREATE TABLE incidents (
    id              uuid PRIMARY KEY,
    rule            text COLLATE "C" NOT NULL,
    key_hash        bytea NOT NULL,
    key             jsonb NOT NULL,
    rulebook_hash   text NOT NULL,
    severity        text COLLATE "C" NOT NULL,
    state           text NOT NULL,
    opened_at       timestamptz NOT NULL,
    state_since     timestamptz NOT NULL,
    deadline        timestamptz,
    due_at          timestamptz,
    owner           uuid,
    epoch           bigint NOT NULL DEFAULT 0,
    wakes           bigint NOT NULL DEFAULT 0,
    progress        jsonb NOT NULL DEFAULT '{}',
    timeline_length integer NOT NULL DEFAULT 0,
    timeline_head   bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex')
) WITH (fillfactor = 70);
COMMENT ON COLUMN incidents.owner IS 'The worker that leases it; no reference, because a worker''s row may go before its leases are taken over.';
COMMENT ON COLUMN incidents.wakes IS 'Counts what happened to it from outside: alerts, commands, findings.';
CREATE UNIQUE INDEX incidents_one_for_each_key ON incidents (rule, key_hash) WHERE state <> 'closed';
CREATE INDEX incidents_due ON incidents (severity, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX incidents_owned ON incidents (owner) WHERE owner IS NOT NULL;

CREATE TABLE members (
    source      text COLLATE "C" NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    generation  integer NOT NULL,
    incident_id uuid NOT NULL,
    starts_at   timestamptz NOT NULL,
    ends_at     timestamptz,
    firing      boolean NOT NULL GENERATED ALWAYS AS (ends_at IS NULL) STORED,
    seen_at     timestamptz NOT NULL,
    joined_at   timestamptz NOT NULL,
    PRIMARY KEY (source, fingerprint, generation)
) WITH (fillfactor = 80);
COMMENT ON TABLE members IS 'Episodes of alerts by incident: an episode belongs to one incident for ever. No foreign key: intake writes members only under the incident''s lock, and 100,000 checks would be paid in a storm.';
COMMENT ON COLUMN members.seen_at IS 'Kept when the episode begins and ends; while it is the current one, alerts.seen_at is newer.';
CREATE INDEX members_by_incident ON members (incident_id, firing DESC, joined_at DESC);

CREATE TABLE commands (
    id          uuid PRIMARY KEY,
    number      bigint GENERATED ALWAYS AS IDENTITY,
    incident_id uuid NOT NULL REFERENCES incidents,
    kind        text NOT NULL,
    actor       text NOT NULL,
    reason      text NOT NULL,
    facts       jsonb NOT NULL,
    given_at    timestamptz NOT NULL,
    applied_at  timestamptz
);
CREATE INDEX commands_by_incident ON commands (incident_id, number);

CREATE TABLE findings (
    id          uuid PRIMARY KEY,
    number      bigint GENERATED ALWAYS AS IDENTITY,
    incident_id uuid NOT NULL REFERENCES incidents,
    action      text NOT NULL,
    summary     text NOT NULL,
    facts       jsonb NOT NULL,
    found_at    timestamptz NOT NULL,
    told_at     timestamptz
);
COMMENT ON TABLE findings IS 'Evidence gathered beside the ladder, until the owner tells it in the timeline.';
CREATE INDEX findings_untold ON findings (incident_id, number) WHERE told_at IS NULL;

-- The ledger ---------------------------------------------------------------------------------------------------------

CREATE TABLE attempts (
    id           uuid PRIMARY KEY,
    number       bigint GENERATED ALWAYS AS IDENTITY,
    incident_id  uuid NOT NULL REFERENCES incidents,
    rule         text COLLATE "C" NOT NULL,
    step         integer NOT NULL,
    action       text NOT NULL,
    params       jsonb NOT NULL,
    target       text COLLATE "C" NOT NULL,
    elements     jsonb NOT NULL,
    results      jsonb NOT NULL DEFAULT '[]',
    outcome      text NOT NULL,
    verdict      text,
    intended_at  timestamptz NOT NULL,
    start_before timestamptz NOT NULL,
    timeout_s    double precision NOT NULL,
    ended_at     timestamptz,
    verdict_at   timestamptz,
    fenced       boolean NOT NULL,
    undo_of      uuid REFERENCES attempts,
    state_before jsonb NOT NULL,
    state_after  jsonb
);
CREATE INDEX attempts_by_incident ON attempts (incident_id, number);
CREATE INDEX attempts_by_target ON attempts (rule, target, intended_at);

CREATE TABLE claims (
    target      text COLLATE "C" PRIMARY KEY,
    attempt_id  uuid NOT NULL UNIQUE REFERENCES attempts,
    incident_id uuid NOT NULL REFERENCES incidents,
    rule        text NOT NULL,
    since       timestamptz NOT NULL,
    quarantined boolean NOT NULL DEFAULT false,
    reason      text NOT NULL DEFAULT ''
);
COMMENT ON TABLE claims IS 'Held targets: one attempt each, from its intent to its verdict.';

CREATE TABLE releases (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target      text NOT NULL,
    attempt_id  uuid NOT NULL,
    held_for    text NOT NULL,
    actor       text NOT NULL,
    reason      text NOT NULL,
    released_at timestamptz NOT NULL
);
COMMENT ON TABLE releases IS 'Who released which quarantined target, and why.';

CREATE TABLE halt (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    halted   boolean NOT NULL,
    actor    text NOT NULL,
    reason   text NOT NULL,
    since    timestamptz NOT NULL
);
COMMENT ON TABLE halt IS 'The flag that stops every replica. A missing row counts as halted.';
INSERT INTO halt (halted, actor, reason, since) VALUES (false, 'responder', 'as installed', service_time());

CREATE TABLE halt_history (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    halted boolean NOT NULL,
    actor  text NOT NULL,
    reason text NOT NULL,
    at     timestamptz NOT NULL
);

-- The timeline -------------------------------------------------------------------------------------------------------

CREATE TABLE timeline (
    incident_id uuid NOT NULL REFERENCES incidents,
    number      integer NOT NULL,
    at          timestamptz NOT NULL,
    kind        text NOT NULL,
    actor       text NOT NULL,
    text        text NOT NULL,
    facts       json NOT NULL,
    body_hash   bytea NOT NULL,
    mac         bytea NOT NULL,
    key_id      text NOT NULL,
    redacted    boolean NOT NULL DEFAULT false,
    PRIMARY KEY (incident_id, number)
);
COMMENT ON COLUMN timeline.facts IS 'json, not jsonb: it stays as it was written, and the hash is over that.';

CREATE FUNCTION timeline_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.redacted
       AND (NEW.incident_id, NEW.number, NEW.at, NEW.kind, NEW.actor, NEW.body_hash, NEW.mac, NEW.key_id)
         = (OLD.incident_id, OLD.number, OLD.at, OLD.kind, OLD.actor, OLD.body_hash, OLD.mac, OLD.key_id) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the timeline is append-only: only the body of an entry may be redacted';
END $$;
CREATE TRIGGER timeline_is_append_only BEFORE UPDATE OR DELETE ON timeline
    FOR EACH ROW EXECUTE FUNCTION timeline_is_append_only();
