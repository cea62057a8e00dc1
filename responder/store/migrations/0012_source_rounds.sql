-- Reconcile: whose turn it is to ask a source for all its alerts, what came of it, and which gaps it has closed.
CREATE TABLE source_rounds (
    source      text COLLATE "C" PRIMARY KEY,
    since       timestamptz NOT NULL,
    owner       uuid,
    epoch       bigint NOT NULL DEFAULT 0,
    due_at      timestamptz NOT NULL,
    began_at    timestamptz,
    ended_at    timestamptz,
    complete_at timestamptz,
    rounds      bigint NOT NULL DEFAULT 0,
    taken_in    bigint NOT NULL DEFAULT 0,
    gone        bigint NOT NULL DEFAULT 0,
    peers       jsonb NOT NULL DEFAULT '[]',
    problem     text,
    asked_at    timestamptz,
    asked_by    text
);
COMMENT ON TABLE source_rounds IS 'One row for each source that can be asked for all its alerts. Its owner asks until its heartbeat is too old.';
COMMENT ON COLUMN source_rounds.owner IS 'The worker whose turn it is; no reference, because a worker''s row may go before its turn is taken over.';
COMMENT ON COLUMN source_rounds.complete_at IS 'When the last round asked in which every peer answered and could be believed.';
COMMENT ON COLUMN source_rounds.asked_at IS 'When a person last asked for a round.';

CREATE TABLE source_gaps_closed (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source     text NOT NULL,
    since      timestamptz NOT NULL,
    noticed_at timestamptz NOT NULL,
    reason     text NOT NULL,
    closed_at  timestamptz NOT NULL,
    taken_in   bigint NOT NULL
);
COMMENT ON TABLE source_gaps_closed IS 'Gaps that a complete round has closed, and how many alerts it took in.';
