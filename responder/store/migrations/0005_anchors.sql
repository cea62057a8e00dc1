-- What shows afterwards that the store was replaced by an older one, or that timelines were written anew: who the
-- store was at its last start, and which heads of timelines each line of an anchor file stands for.

CREATE TABLE store_identity (
    only_row      boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    system        text NOT NULL,
    wal_timeline  integer NOT NULL,
    started_at    timestamptz NOT NULL,
    judged_anchor text
);
COMMENT ON TABLE store_identity IS 'The PostgreSQL that carried the store at its last start. No row: it never started with this schema.';
COMMENT ON COLUMN store_identity.judged_anchor IS 'The line of an anchor file that this store was found to be behind: told once, a person''s resume stands.';

CREATE TABLE anchors (
    number    bigint PRIMARY KEY,
    at        timestamptz NOT NULL,
    incidents bigint NOT NULL,
    entries   bigint NOT NULL,
    heads     bytea NOT NULL
);
COMMENT ON TABLE anchors IS 'The global anchors. The proof is the line in the file outside, these rows only say what it was made of.';

CREATE TABLE anchored_heads (
    incident_id uuid NOT NULL,
    length      integer NOT NULL,
    head        bytea NOT NULL,
    anchor      bigint NOT NULL REFERENCES anchors,
    PRIMARY KEY (incident_id, length)
);
COMMENT ON TABLE anchored_heads IS 'The heads that were new in an anchor. No foreign key to the incident: one that is missing is what this is to show.';
CREATE INDEX anchored_heads_by_anchor ON anchored_heads (anchor, incident_id);
