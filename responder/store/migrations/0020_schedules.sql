-- Scheduled rules: up to where each plan is decided, and one row for each planned time, run or not.
CREATE TABLE schedules (
    rule       text COLLATE "C" PRIMARY KEY,
    plan       text NOT NULL,
    decided_to timestamptz NOT NULL
);
COMMENT ON TABLE schedules IS 'One row for each scheduled rule of the active rulebook; whoever decides for it locks the row.';
COMMENT ON COLUMN schedules.plan IS 'The expression and its time zone; another plan begins anew.';
COMMENT ON COLUMN schedules.decided_to IS 'Civil time: what was planned up to here is run, skipped or missed.';

CREATE TABLE scheduled_runs (
    id            uuid PRIMARY KEY,
    rule          text COLLATE "C" NOT NULL,
    rulebook_hash text NOT NULL,
    state         text NOT NULL CHECK (state IN ('waiting', 'running', 'found', 'ended', 'skipped', 'missed')),
    planned_for   timestamptz,
    planned_from  timestamptz,
    missed        int NOT NULL DEFAULT 0,
    why           text,
    asked_by      text,
    reason        text,
    owner         uuid,
    epoch         int NOT NULL DEFAULT 0,
    at            timestamptz NOT NULL,
    deadline      timestamptz,
    found_at      timestamptz,
    ended_at      timestamptz,
    report        jsonb,
    CONSTRAINT scheduled_runs_once UNIQUE (rule, planned_for)
);
COMMENT ON TABLE scheduled_runs IS 'Planned runs, and those that people asked for; times are service time but for planned_for and planned_from.';
COMMENT ON COLUMN scheduled_runs.planned_for IS 'Civil time, the last of several that were missed; null where a person asked for it.';
COMMENT ON COLUMN scheduled_runs.owner IS 'The worker that makes it; no reference, because a worker''s row may go before its run is taken over.';
CREATE UNIQUE INDEX scheduled_runs_one_goes ON scheduled_runs (rule) WHERE state IN ('waiting', 'running', 'found');
CREATE INDEX scheduled_runs_newest ON scheduled_runs (rule, at DESC);

CREATE FUNCTION civil_time() RETURNS timestamptz
    LANGUAGE sql VOLATILE PARALLEL SAFE
    AS $$ SELECT wall_clock() $$;
COMMENT ON FUNCTION civil_time() IS 'What schedules are planned by: the clock of the database''s host as it is set, jumps and all.';
