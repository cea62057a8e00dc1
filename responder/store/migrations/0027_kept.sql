-- What is owed back may be kept by a person: then it is not given back, and stands.

ALTER TABLE give_backs
    ADD COLUMN kept_at timestamptz,
    ADD COLUMN kept_by text,
    ADD COLUMN kept_reason text,
    ADD CONSTRAINT kept_by_somebody_or_opened CHECK (
        (kept_at IS NULL) = (kept_by IS NULL) AND (kept_at IS NULL OR opened_as IS NULL)
    );
COMMENT ON COLUMN give_backs.kept_at IS 'When a person said that what was done stays; null while it is owed back.';
DROP INDEX give_backs_due;
CREATE INDEX give_backs_due ON give_backs (due_at) WHERE opened_as IS NULL AND kept_at IS NULL;
