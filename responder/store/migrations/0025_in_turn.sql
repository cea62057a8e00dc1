-- Of incidents that are due at one moment the one that opened first comes first: no order is left to chance.

CREATE INDEX incidents_in_turn ON incidents (severity, due_at, id) WHERE due_at IS NOT NULL;
DROP INDEX incidents_due;
