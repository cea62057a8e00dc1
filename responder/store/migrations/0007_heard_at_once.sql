-- Intake in one statement, for what nearly everything is that a source sends: alerts that fire and are new, or that
-- fire on and are told again in the very same words. What that means is known without folding: the first observation
-- of an alert is its record, and a repeated one moves nothing but the time of hearing. Whatever else is said of any of
-- them, the function stores nothing and answers NULL, and the alerts are folded. So it does where service time is not
-- what the caller expects by its own clock: whose clock jumped is not found out here.
--
-- Locks as everywhere: alerts by key, then incidents by (rule, key hash). The caller gives both in that order.

CREATE FUNCTION hear(
    of_source text, fingerprints text[], numbers integer[], hashes bytea[], starts timestamptz[], labels text[],
    annotations text[], urls text[], severities text[], wanted integer[], ids uuid[], rules text[], key_hashes bytea[],
    keys text[], waits interval[], rulebook text, news_within interval,
    expected timestamptz, tolerance interval,
    OUT due integer, OUT opened uuid[], OUT concerned uuid[]
) LANGUAGE plpgsql AS $$
DECLARE
    at      timestamptz;
    known   text[];
    changed boolean;
    fresh   text[];
    used    integer[];
    worst   text[];
    joining integer;
    joined  integer;
BEGIN
    SELECT coalesce(array_agg(k.fingerprint), '{}'), coalesce(bool_or(NOT k.same), false) INTO known, changed
    FROM (
        SELECT a.fingerprint,
               a.last_hash = r.hash AND a.ends_at IS NULL AND a.generation > 0
               AND a.last_received_at > coalesce(a.last_end_received_at, '-infinity')
               AND r.starts_at BETWEEN a.starts_at AND a.newest_start
               AND a.last_received_at < service_time() AS same
        FROM alerts a JOIN unnest(fingerprints, hashes, starts) AS r (fingerprint, hash, starts_at)
             ON a.source = of_source AND a.fingerprint = r.fingerprint
        ORDER BY a.fingerprint
        FOR UPDATE OF a
    ) AS k;
    at := service_time();
    IF changed OR at NOT BETWEEN expected - tolerance AND expected + tolerance THEN
        RETURN;
    END IF;

    WITH r AS MATERIALIZED (
        SELECT u.fingerprint, at + u.number * interval '1 microsecond' AS received_at, u.hash, u.starts_at,
               u.labels::jsonb AS labels, u.annotations::jsonb AS annotations, u.url,
               u.fingerprint = ANY (known) AS again
        FROM unnest(fingerprints, numbers, hashes, starts, labels, annotations, urls)
             AS u (fingerprint, number, hash, starts_at, labels, annotations, url)
    ),
    journaled AS (
        INSERT INTO journal (source, fingerprint, received_at, content_hash, standing, starts_at, labels, annotations,
                             generator_url)
        SELECT of_source, fingerprint, received_at, hash, 'firing', starts_at, r.labels, r.annotations, url FROM r
        ON CONFLICT DO NOTHING
    ),
    told AS (
        UPDATE alerts a SET seen_at = r.received_at, last_received_at = r.received_at
        FROM r WHERE r.again AND a.source = of_source AND a.fingerprint = r.fingerprint
    ),
    begun AS (
        INSERT INTO alerts (source, fingerprint, labels, annotations, generator_url, generation, starts_at,
                            newest_start, seen_at, last_received_at, last_hash)
        SELECT of_source, fingerprint, r.labels, r.annotations, url, 1, starts_at, starts_at, received_at,
               received_at, hash
        FROM r WHERE NOT r.again
        ON CONFLICT DO NOTHING
        RETURNING fingerprint
    )
    SELECT coalesce(array_agg(fingerprint), '{}') INTO fresh FROM begun;
    IF cardinality(fresh) + cardinality(known) < cardinality(fingerprints) THEN
        RAISE EXCEPTION 'another transaction stored the same new alert' USING ERRCODE = 'serialization_failure';
    END IF;

    SELECT coalesce(array_agg(w.n ORDER BY w.n), '{}'), array_agg(w.severity ORDER BY w.n), coalesce(sum(w.alerts), 0)
    INTO used, worst, joining
    FROM (
        SELECT u.n, min(u.severity) AS severity, count(*) AS alerts
        FROM unnest(fingerprints, wanted, severities) AS u (fingerprint, n, severity)
        WHERE u.n IS NOT NULL AND u.fingerprint = ANY (fresh)
        GROUP BY u.n
    ) AS w;
    due := 0;
    opened := '{}';
    concerned := '{}';
    IF joining = 0 THEN
        RETURN;
    END IF;

    PERFORM FROM incidents i
    WHERE i.id = ANY (ARRAY(
        SELECT o.id FROM unnest(used) AS u (n)
             JOIN incidents o ON o.rule = rules[u.n] AND o.key_hash = key_hashes[u.n] AND o.state <> 'closed'))
    ORDER BY i.rule, i.key_hash, i.id
    FOR UPDATE;

    WITH new AS (
        INSERT INTO incidents (id, rule, key_hash, key, rulebook_hash, severity, state, opened_at, state_since,
                               deadline, due_at)
        SELECT ids[u.n], rules[u.n], key_hashes[u.n], keys[u.n]::jsonb, rulebook, u.severity, 'pending', at, at,
               at + waits[u.n], at + waits[u.n]
        FROM unnest(used, worst) AS u (n, severity)
        WHERE NOT EXISTS (SELECT FROM incidents i
                          WHERE i.rule = rules[u.n] AND i.key_hash = key_hashes[u.n] AND i.state <> 'closed')
        ON CONFLICT (rule, key_hash) WHERE state <> 'closed' DO NOTHING
        RETURNING id
    )
    SELECT coalesce(array_agg(id), '{}') INTO opened FROM new;

    UPDATE incidents i
    SET wakes = wakes + 1, severity = least(i.severity, u.severity),
        due_at = least(due_at, CASE WHEN i.state IN ('pending', 'open') THEN at ELSE at + news_within END)
    FROM unnest(used, worst) AS u (n, severity)
    WHERE i.rule = rules[u.n] AND i.key_hash = key_hashes[u.n] AND i.state <> 'closed' AND i.id <> ALL (opened);

    INSERT INTO members (source, fingerprint, generation, incident_id, starts_at, seen_at, joined_at)
    SELECT of_source, r.fingerprint, 1, i.id, r.starts_at, at + r.number * interval '1 microsecond', at
    FROM unnest(fingerprints, numbers, starts, wanted) AS r (fingerprint, number, starts_at, n)
         JOIN incidents i ON i.rule = rules[r.n] AND i.key_hash = key_hashes[r.n] AND i.state <> 'closed'
    WHERE r.fingerprint = ANY (fresh);
    GET DIAGNOSTICS joined = ROW_COUNT;
    IF joined < joining THEN
        RAISE EXCEPTION 'another transaction opened the same incident' USING ERRCODE = 'serialization_failure';
    END IF;

    SELECT array_agg(i.id), count(*) FILTER (WHERE i.due_at <= at AND i.owner IS NULL) INTO concerned, due
    FROM unnest(used) AS u (n)
         JOIN incidents i ON i.rule = rules[u.n] AND i.key_hash = key_hashes[u.n] AND i.state <> 'closed';
END $$;
COMMENT ON FUNCTION hear IS 'Alerts that fire and are new or told again in the same words, and all that follows: stored, or NULL and nothing done.';
