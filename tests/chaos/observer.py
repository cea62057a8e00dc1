"""The test's own eyes in the store's database: triggers that write down who owned what, and when.

Also the clock that can be set: `wall_clock()` is the function by which the responder reads the host's clock.
Times in the schema `chaos` are the host's real ones; nothing of the responder reads or writes there.
"""

import asyncpg

INSTALL = """
CREATE SCHEMA chaos;

CREATE TABLE chaos.clock (amount interval NOT NULL);
INSERT INTO chaos.clock VALUES ('0');
CREATE OR REPLACE FUNCTION wall_clock() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE
    AS $$ SELECT clock_timestamp() + (SELECT amount FROM chaos.clock) $$;

CREATE TABLE chaos.workers (worker uuid, pid integer, at timestamptz DEFAULT clock_timestamp());
INSERT INTO chaos.workers (worker, pid)
    SELECT id, substring(array_to_string(roles, ' ') FROM 'pid ([0-9]+)')::integer FROM workers;
CREATE FUNCTION chaos.worker() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO chaos.workers (worker, pid)
    VALUES (NEW.id, substring(array_to_string(NEW.roles, ' ') FROM 'pid ([0-9]+)')::integer);
    RETURN NULL;
END $$;
CREATE TRIGGER chaos AFTER INSERT ON workers FOR EACH ROW EXECUTE FUNCTION chaos.worker();

CREATE TABLE chaos.owners (incident uuid, old_owner uuid, new_owner uuid, epoch bigint, silent_s float8,
                           at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION chaos.owner() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO chaos.owners (incident, old_owner, new_owner, epoch, silent_s)
    VALUES (NEW.id, OLD.owner, NEW.owner, NEW.epoch,
            extract(epoch FROM service_time() - (SELECT heartbeat_at FROM workers WHERE id = OLD.owner)));
    RETURN NULL;
END $$;
CREATE TRIGGER chaos AFTER UPDATE OF owner ON incidents FOR EACH ROW
    WHEN (OLD.owner IS NOT NULL AND NEW.owner IS NOT NULL AND OLD.owner <> NEW.owner)
    EXECUTE FUNCTION chaos.owner();

CREATE TABLE chaos.attempts (attempt uuid, owner uuid, outcome text,
                             at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION chaos.attempt() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO chaos.attempts (attempt, owner, outcome)
    VALUES (NEW.id, (SELECT owner FROM incidents WHERE id = NEW.incident_id), NEW.outcome);
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_new AFTER INSERT ON attempts FOR EACH ROW EXECUTE FUNCTION chaos.attempt();
CREATE TRIGGER chaos_end AFTER UPDATE OF outcome ON attempts FOR EACH ROW
    WHEN (OLD.outcome <> NEW.outcome) EXECUTE FUNCTION chaos.attempt();

CREATE TABLE chaos.claims (attempt uuid, taken boolean, at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION chaos.claim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO chaos.claims (attempt, taken) VALUES (OLD.attempt_id, false);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO chaos.claims (attempt, taken) VALUES (NEW.attempt_id, true);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_new AFTER INSERT OR DELETE ON claims FOR EACH ROW EXECUTE FUNCTION chaos.claim();
CREATE TRIGGER chaos_handed AFTER UPDATE OF attempt_id ON claims FOR EACH ROW EXECUTE FUNCTION chaos.claim();
"""


async def watch(dsn: str) -> None:
    """Install it in a migrated database."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await connection.execute(INSTALL)
    finally:
        await connection.close()


async def set_clock(dsn: str, hours: float) -> None:
    """Move what the responder takes for the host's clock."""
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        await connection.execute(
            "UPDATE chaos.clock SET amount = amount + make_interval(secs => $1)", hours * 3600
        )
    finally:
        await connection.close()
