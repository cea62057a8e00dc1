-- The newest start heard of while an alert fires: an end before it, told late by another peer, ends the episode before.
ALTER TABLE alerts ADD COLUMN newest_start timestamptz;
UPDATE alerts SET newest_start = starts_at;
ALTER TABLE alerts ALTER COLUMN newest_start SET NOT NULL;
