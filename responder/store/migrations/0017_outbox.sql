-- The outbox: every word to people, written with the record that it tells of, and sent to its channel from here.

CREATE TABLE outbox (
    id           uuid PRIMARY KEY,
    number       bigint GENERATED ALWAYS AS IDENTITY,
    incident_id  uuid REFERENCES incidents,
    channel      text COLLATE "C" NOT NULL,
    kind         text NOT NULL,
    level        integer NOT NULL,
    thread       text COLLATE "C" NOT NULL,
    body         jsonb NOT NULL,
    key          text COLLATE "C" NOT NULL UNIQUE,
    created_at   timestamptz NOT NULL,
    due_at       timestamptz NOT NULL,
    tries        integer NOT NULL DEFAULT 0,
    last_error   text,
    taken_by     uuid,
    taken_until  timestamptz,
    delivered_in uuid,
    delivered_at timestamptz,
    given_up_at  timestamptz,
    CHECK (delivered_at IS NULL OR given_up_at IS NULL)
);
COMMENT ON TABLE outbox IS 'One row for each notice and channel. It waits until it is delivered or given up.';
COMMENT ON COLUMN outbox.number IS 'The order of one incident''s rows: they are written under its lock.';
COMMENT ON COLUMN outbox.incident_id IS 'Null for what is of no one incident: a summary, a test.';
COMMENT ON COLUMN outbox.thread IS 'What a channel folds into one thread: the incident''s id.';
COMMENT ON COLUMN outbox.key IS 'The idempotency key, the same at every try: derived from incident, place in its timeline and channel.';
COMMENT ON COLUMN outbox.tries IS 'Counted when it is taken: one that was tried may have been received.';
COMMENT ON COLUMN outbox.taken_by IS 'The process that sends it now; no reference, and no lease on the incident.';
COMMENT ON COLUMN outbox.delivered_in IS 'The summary that is sent in its place; it is delivered or given up with that.';
CREATE INDEX outbox_due ON outbox (channel, due_at) WHERE delivered_at IS NULL AND given_up_at IS NULL;
CREATE INDEX outbox_before ON outbox (incident_id, channel, number) WHERE delivered_at IS NULL AND given_up_at IS NULL;
CREATE INDEX outbox_of_incident ON outbox (incident_id, number);
CREATE INDEX outbox_of_summary ON outbox (delivered_in) WHERE delivered_in IS NOT NULL;
CREATE INDEX outbox_given_up ON outbox (given_up_at) WHERE given_up_at IS NOT NULL;
CREATE INDEX outbox_delivered ON outbox (delivered_at) WHERE delivered_at IS NOT NULL;

CREATE TABLE outbox_lanes (
    channel      text COLLATE "C" PRIMARY KEY,
    minute_began timestamptz NOT NULL,
    begun        integer NOT NULL DEFAULT 0,
    crowded      boolean NOT NULL DEFAULT false,
    failures     integer NOT NULL DEFAULT 0,
    paused_until timestamptz NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE outbox_lanes IS 'One row for each channel, locked by whoever takes from the outbox for it: what all replicas together send.';
COMMENT ON COLUMN outbox_lanes.begun IS 'Sends begun since minute_began.';
COMMENT ON COLUMN outbox_lanes.crowded IS 'More waited in this minute than it had room for: they become one summary when it is over.';
COMMENT ON COLUMN outbox_lanes.failures IS 'Tries in a row that failed.';
