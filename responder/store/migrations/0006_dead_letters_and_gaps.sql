-- What people did with dead letters: a letter that is gone leaves who did it, why and when.
CREATE TABLE dead_letter_acts (
    letter       bigint NOT NULL,
    act          text NOT NULL,
    source       text NOT NULL,
    rejected_for text NOT NULL,
    received_at  timestamptz NOT NULL,
    actor        text NOT NULL,
    reason       text NOT NULL,
    at           timestamptz NOT NULL,
    PRIMARY KEY (letter)
);
COMMENT ON TABLE dead_letter_acts IS 'Dead letters that were retried, dropped or expired; received_at is the letter''s.';
CREATE INDEX dead_letters_by_age ON dead_letters (received_at);

-- That alerts of a source were missed: whoever asks the source for all its alerts reads it, and deletes the row whose
-- noticed_at is older than its question.
CREATE TABLE source_gaps (
    source     text COLLATE "C" PRIMARY KEY,
    since      timestamptz NOT NULL,
    noticed_at timestamptz NOT NULL,
    reason     text NOT NULL
);
COMMENT ON TABLE source_gaps IS 'Sources whose deliveries left alerts out, since the first and at the last time that was noticed.';
