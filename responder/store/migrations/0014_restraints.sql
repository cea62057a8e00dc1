-- What people have said that keeps automation from acting, on all or on a part: halts, freezes, maintenance windows.
-- A row is never removed: it is ended, by whom and why. The flag of `halt` stays beside it: it is set while any halt
-- over everything stands, and a missing flag halts.

CREATE TABLE restraints (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text NOT NULL CHECK (kind IN ('halt', 'freeze', 'maintenance')),
    key        text COLLATE "C" NOT NULL,
    match      jsonb NOT NULL,
    allow      jsonb NOT NULL DEFAULT '[]',
    actor      text NOT NULL,
    reason     text NOT NULL,
    since      timestamptz NOT NULL,
    until      timestamptz,
    ended_at   timestamptz,
    ended_by   text,
    end_reason text,
    UNIQUE (kind, key),
    CHECK (kind = 'halt' OR until IS NOT NULL)
);
COMMENT ON COLUMN restraints.key IS 'Given by whoever asked: the same request again is the same restraint.';
COMMENT ON COLUMN restraints.until IS 'Civil time for a freeze, service time for maintenance; a halt has none, and stands until a person resumes.';
CREATE INDEX restraints_standing ON restraints (kind, id) WHERE ended_at IS NULL;

INSERT INTO restraints (kind, key, match, actor, reason, since)
SELECT 'halt', 'the flag as it was', '[]', actor, reason, since FROM halt WHERE halted;

ALTER TABLE halt_history
    ADD COLUMN restraint bigint,
    ADD COLUMN match     jsonb;
COMMENT ON COLUMN halt_history.match IS 'What was halted or resumed; null and [] are everything.';
