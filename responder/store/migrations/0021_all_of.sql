-- A step of several actions (`all:`): one attempt in the limits, an intent for each part, all targets claimed at once.

ALTER TABLE attempts ADD COLUMN all_of uuid REFERENCES attempts, ADD COLUMN part integer;
COMMENT ON COLUMN attempts.all_of IS 'The first attempt of the `all:` that this is a part of: by that one all its targets are claimed.';
COMMENT ON COLUMN attempts.part IS 'Which part it is, from 0; of what takes it back the part that is taken back.';
CREATE INDEX attempts_by_group ON attempts (all_of, number) WHERE all_of IS NOT NULL;

ALTER TABLE claims DROP CONSTRAINT claims_attempt_id_key;
CREATE INDEX claims_by_attempt ON claims (attempt_id);

ALTER TABLE starts DROP CONSTRAINT starts_pkey, ADD PRIMARY KEY (attempt_id, target);
