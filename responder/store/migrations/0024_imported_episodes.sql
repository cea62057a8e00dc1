-- A past for a new installation: what fired before anybody told us, as Prometheus remembers it.
--
-- A table of its own, and not rows of the journal with a mark: the fold, matching and all that acts read `journal` and
-- `alerts`, so nothing of these can open or wake an incident, whatever is forgotten in a query. Only backtests and
-- reports on rules read them.

CREATE TABLE imported_episodes (
    source      text COLLATE "C" NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    starts_at   timestamptz NOT NULL,
    ends_at     timestamptz,
    labels      jsonb NOT NULL,
    imported_at timestamptz NOT NULL,
    PRIMARY KEY (fingerprint, source, starts_at)
);
COMMENT ON TABLE imported_episodes IS 'Episodes out of Prometheus''s ALERTS series. Nothing is ever done about them.';
COMMENT ON COLUMN imported_episodes.ends_at IS 'NULL: it still fired when it was imported.';
CREATE INDEX imported_episodes_by_start ON imported_episodes (starts_at);
CREATE INDEX imported_episodes_by_end ON imported_episodes (ends_at);
