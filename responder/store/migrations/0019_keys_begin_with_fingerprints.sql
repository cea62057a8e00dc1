-- A key of alerts is looked for and put in place by comparing columns one after the other, and there are few sources:
-- with the source in front each comparison was one of two texts that are the same, and then another. A new alert has
-- three such keys. Rows are found by both columns together. Lists of a source's alerts go by alerts_firing.

ALTER TABLE journal
    DROP CONSTRAINT journal_pkey,
    ADD PRIMARY KEY (fingerprint, source, received_at, content_hash);
ALTER TABLE alerts
    DROP CONSTRAINT alerts_pkey,
    ADD PRIMARY KEY (fingerprint, source);
ALTER TABLE members
    DROP CONSTRAINT members_pkey,
    ADD PRIMARY KEY (fingerprint, source, generation);
