-- What steps in shadow would have done: what the report on shadow is made of, and what shadow's own limits count.

CREATE TABLE shadow_runs (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident_id   uuid NOT NULL REFERENCES incidents,
    rule          text COLLATE "C" NOT NULL,
    step          integer NOT NULL,
    action        text NOT NULL,
    target        text COLLATE "C",
    ruling        text NOT NULL,
    guard         text NOT NULL,
    reason        text NOT NULL,
    elements      jsonb NOT NULL,
    element_count integer NOT NULL,
    at            timestamptz NOT NULL
);
COMMENT ON TABLE shadow_runs IS 'Each step that was judged in shadow: what the strictest guard said, and what it would have hit.';
CREATE INDEX shadow_runs_by_target ON shadow_runs (rule, target, at);
CREATE INDEX shadow_runs_by_time ON shadow_runs (at);
