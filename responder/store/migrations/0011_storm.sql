-- The storm brake: how many incidents opened lately is read off their ids, which sort by time; what is part of a storm
-- is found by its mark.

CREATE FUNCTION first_uuid7(at timestamptz) RETURNS uuid
    LANGUAGE sql STABLE
    AS $$ SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid $$;
COMMENT ON FUNCTION first_uuid7 IS 'No id made since then sorts before it.';

CREATE INDEX incidents_of_storm ON incidents ((progress ->> 'part_of')) WHERE progress ->> 'part_of' IS NOT NULL;
