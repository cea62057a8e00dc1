-- What is given back after a while (`undo: {after: 2h}`): owed from the moment that the effect is known to have happened.

CREATE TABLE give_backs (
    attempt_id uuid PRIMARY KEY REFERENCES attempts,
    due_at     timestamptz NOT NULL,
    opened_as  uuid REFERENCES incidents
);
COMMENT ON TABLE give_backs IS 'One row for each attempt whose effect is given back after a while, written with its outcome.';
COMMENT ON COLUMN give_backs.opened_as IS 'The incident that gives it back, or that tells people why it cannot be; null while it is not due.';
CREATE INDEX give_backs_due ON give_backs (due_at) WHERE opened_as IS NULL;

CREATE INDEX attempts_on_target ON attempts (target, number);
