-- TRUNCATE fires no trigger of a row: without one of its own it would empty the append-only timeline.

CREATE FUNCTION timeline_is_not_emptied() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the timeline is append-only: it cannot be emptied';
END $$;
CREATE TRIGGER timeline_is_not_emptied BEFORE TRUNCATE ON timeline
    FOR EACH STATEMENT EXECUTE FUNCTION timeline_is_not_emptied();
