-- Service time survives jumps of the wall clock. Only wall_clock() reads the clock of the database's host: whoever
-- wants to know what a jump does puts another function in its place, in a database of their own.

CREATE FUNCTION wall_clock() RETURNS timestamptz
    LANGUAGE sql VOLATILE PARALLEL SAFE
    AS $$ SELECT clock_timestamp() $$;
COMMENT ON FUNCTION wall_clock() IS 'The clock of the database''s host, as it is set now.';

CREATE OR REPLACE FUNCTION service_time() RETURNS timestamptz
    LANGUAGE sql VOLATILE PARALLEL SAFE
    AS $$ SELECT wall_clock() + (SELECT shift FROM service_clock) $$;

ALTER TABLE service_clock
    ADD COLUMN taken_back  interval NOT NULL DEFAULT '0',
    ADD COLUMN jumps       integer NOT NULL DEFAULT 0,
    ADD COLUMN quiet_until timestamptz,
    ADD COLUMN quiet_why   text;
COMMENT ON COLUMN service_clock.taken_back IS 'The part of the shift that took jumps back.';
COMMENT ON COLUMN service_clock.quiet_until IS 'Until then (service time) no intent is committed: the clock jumped a lease time ago or less.';

CREATE SEQUENCE clock_readings;
COMMENT ON SEQUENCE clock_readings IS 'Numbers the readings of all processes: a larger number was read later, whatever the clocks say.';

ALTER TABLE workers
    ADD COLUMN clock_since  bigint,
    ADD COLUMN clock_number bigint,
    ADD COLUMN clock_off    interval NOT NULL DEFAULT '0';
COMMENT ON COLUMN workers.clock_since IS 'The reading from which on this process has watched the wall clock without a break.';
COMMENT ON COLUMN workers.clock_number IS 'Its newest reading.';
COMMENT ON COLUMN workers.clock_off IS 'How far the wall clock is off in it, by the process''s own clock; 0 where it is steady.';
