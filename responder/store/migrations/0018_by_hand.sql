-- Incidents that a person opened: an act by hand, or one for people. No alert belongs to them.
ALTER TABLE incidents ADD COLUMN by_hand jsonb, ADD COLUMN by_hand_key uuid;
COMMENT ON COLUMN incidents.by_hand IS 'Who asked, for what and why; null where alerts opened it.';
COMMENT ON COLUMN incidents.by_hand_key IS 'The key under which it was asked for: the same key is the same incident.';
CREATE UNIQUE INDEX incidents_by_hand_once ON incidents (by_hand_key) WHERE by_hand_key IS NOT NULL;
