-- What the limits over many attempts count by: disruptive starts, openings of a rule's breaker, open incidents.

CREATE TABLE starts (
    attempt_id uuid PRIMARY KEY REFERENCES attempts,
    at         timestamptz NOT NULL,
    target     text COLLATE "C" NOT NULL,
    namespace  text COLLATE "C" NOT NULL
);
COMMENT ON TABLE starts IS 'Disruptive starts, written with their intent. One whose attempt is proven not done counts no more.';
CREATE INDEX starts_by_time ON starts (at);

CREATE TABLE budgets (
    scope     text COLLATE "C" NOT NULL,
    name      text COLLATE "C" NOT NULL,
    locked_at timestamptz NOT NULL,
    PRIMARY KEY (scope, name)
) WITH (fillfactor = 50);
COMMENT ON TABLE budgets IS 'Rows to be locked while starts are counted, in the order global, namespace, target.';

ALTER TABLE claims ALTER CONSTRAINT claims_attempt_id_fkey DEFERRABLE INITIALLY DEFERRED;
COMMENT ON CONSTRAINT claims_attempt_id_fkey ON claims IS 'Checked at the commit: a target is claimed before budgets are locked, its attempt is written after.';

CREATE TABLE breakers (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule      text COLLATE "C" NOT NULL,
    opened_at timestamptz NOT NULL,
    attempts  uuid[] NOT NULL,
    reset_at  timestamptz,
    actor     text,
    reason    text
);
COMMENT ON TABLE breakers IS 'Every opening of a rule''s circuit breaker, by which attempts, and who reset it and why.';
CREATE UNIQUE INDEX breakers_open ON breakers (rule) WHERE reset_at IS NULL;
CREATE INDEX breakers_by_rule ON breakers (rule, reset_at);
CREATE INDEX attempts_judged ON attempts (rule, verdict_at)
    WHERE undo_of IS NULL AND verdict IN ('recovered', 'not_recovered');

CREATE INDEX incidents_open ON incidents (rule) WHERE state NOT IN ('pending', 'resolved', 'recorded', 'closed');
