-- A rule with `continue: true` passes its alerts on: an episode is a member of one incident of each rule that took it,
-- and the key says so. All of that is decided once, when it is first taken: rows of before, and of a process of the
-- version before, have no rule, and are alone.

ALTER TABLE members ADD COLUMN rule text COLLATE "C" NOT NULL DEFAULT '';
COMMENT ON COLUMN members.rule IS 'Of the incident; empty where it was written before episodes could be of several.';
COMMENT ON TABLE members IS 'Episodes of alerts by incident: an episode belongs to one incident of each rule that took it, for ever. No foreign key: intake writes members only under the incident''s lock, and 100,000 checks would be paid in a storm.';
ALTER TABLE members
    DROP CONSTRAINT members_pkey,
    ADD PRIMARY KEY (fingerprint, source, generation, rule);

-- What a process of the version before calls has the further arguments left out.
DROP FUNCTION take_in(text, text, boolean[], bytea, text, text, text, text, text, integer[], text, integer[], text,
                      text[], bytea[], text[], interval[], text, interval, timestamptz, interval);
CREATE FUNCTION take_in(
    -- what is said of alerts of one source, each said once or several times in the same words
    of_source text, fingerprints text, firing boolean[], hashes bytea, starts text, ends text, labels text,
    annotations text, urls text,
    -- by which delivery it is said: the last one, and in lines of numbers those before
    last integer[], earlier text,
    -- where each belongs if it begins: which of the incidents, and how bad it makes that
    belongs integer[], severities text,
    -- the incidents, by (rule, key hash)
    rules text[], key_hashes bytea[], keys text[], waits interval[], rulebook text, news_within interval,
    expected timestamptz, tolerance interval,
    -- what else an alert belongs to if it begins: the number of the alert, of the incident, and how bad it makes that
    more integer[] DEFAULT '{}', more_belongs integer[] DEFAULT '{}', more_severities text DEFAULT '',
    OUT due integer, OUT opened integer[], OUT concerned uuid[], OUT left_over integer[]
) LANGUAGE plpgsql AS $$
DECLARE
    places  tid[];
    prints  text[] := string_to_array(fingerprints, E'\n');
    began   timestamptz[] := string_to_array(starts, E'\n')::timestamptz[];
    latest  timestamptz;
    at      timestamptz;
    kinds   text[];
    over    text[];
    print   text;
    written integer;
    woken   uuid[] := '{}';
    number  integer;
    worse   text;
    worst   text[];
    locked  uuid[];
    there   uuid[];
BEGIN
    due := 0;
    opened := '{}';
    concerned := '{}';

    SELECT array_agg(CASE
               WHEN a.fingerprint IS NULL THEN CASE WHEN r.fires THEN 'new' ELSE 'left' END
               WHEN a.generation = 0 OR a.contested_at IS NOT NULL THEN 'left'
               WHEN a.ends_at IS NOT NULL
                   THEN CASE WHEN r.fires AND r.starts_at >= a.last_end THEN 'another' ELSE 'left' END
               WHEN r.fires THEN CASE
                   WHEN r.starts_at NOT BETWEEN a.starts_at AND a.newest_start THEN 'left'
                   WHEN a.last_hash = substr(hashes, 16 * r.n::integer - 15, 16)
                        AND a.last_received_at > coalesce(a.last_end_received_at, '-infinity') THEN 'again'
                   ELSE 'told' END
               WHEN r.ends_at >= greatest(a.starts_at, a.newest_start) AND (a.last_end IS NULL OR r.ends_at > a.last_end)
                   THEN 'ended'
               ELSE 'left' END ORDER BY r.n),
           array_agg(a.ctid ORDER BY r.n), max(a.last_received_at)
    INTO kinds, places, latest
    FROM (
        SELECT u.n, u.fingerprint, u.fires, u.starts_at, coalesce(nullif(u.ends_at, '')::timestamptz, u.starts_at)
        FROM unnest(prints, firing, began, string_to_array(ends, E'\n'))
             WITH ORDINALITY AS u (fingerprint, fires, starts_at, ends_at, n)
    ) AS r (n, fingerprint, fires, starts_at, ends_at) LEFT JOIN LATERAL (
        SELECT ctid, * FROM alerts WHERE source = of_source AND fingerprint = r.fingerprint FOR UPDATE
    ) AS a ON true;

    at := service_time();
    IF at <= latest OR at NOT BETWEEN expected - tolerance AND expected + tolerance THEN
        kinds := array_fill('left'::text, ARRAY[cardinality(prints)]);
    END IF;
    SELECT coalesce(array_agg(k.n) FILTER (WHERE k.kind = 'left'), '{}'),
           coalesce(array_agg(k.fingerprint) FILTER (WHERE k.kind = 'ended'), '{}')
    INTO left_over, over
    FROM unnest(kinds, prints) WITH ORDINALITY AS k (kind, fingerprint, n);
    IF cardinality(left_over) = cardinality(prints) THEN
        RETURN;
    END IF;

    WITH r AS MATERIALIZED (
        SELECT u.kind, u.place, u.fingerprint, at + u.last * interval '1 microsecond' AS received_at,
               string_to_array(nullif(u.earlier, ''), ' ')::integer[] AS earlier,
               substr(hashes, 16 * u.n::integer - 15, 16) AS hash,
               u.fires, u.starts_at, nullif(u.ends_at, '')::timestamptz AS ends_at, u.labels::jsonb AS labels,
               u.annotations::jsonb AS annotations, coalesce(u.url, '') AS url
        FROM unnest(kinds, places, prints, firing, last, string_to_array(earlier, E'\n'), began,
                    string_to_array(ends, E'\n'), string_to_array(labels, E'\n'), string_to_array(annotations, E'\n'),
                    string_to_array(urls, E'\n'))
             WITH ORDINALITY AS u (kind, place, fingerprint, fires, last, earlier, starts_at, ends_at, labels,
                                   annotations, url, n)
        WHERE u.kind <> 'left'
    ),
    journaled AS (
        INSERT INTO journal (source, fingerprint, received_at, content_hash, standing, starts_at, ends_at, labels,
                             annotations, generator_url)
        SELECT of_source, fingerprint, received_at, hash, CASE WHEN fires THEN 'firing' ELSE 'resolved' END, starts_at,
               ends_at, r.labels, r.annotations, url
        FROM r
    ),
    journaled_before AS (
        INSERT INTO journal (source, fingerprint, received_at, content_hash, standing, starts_at, ends_at, labels,
                             annotations, generator_url)
        SELECT of_source, fingerprint, at + before.number * interval '1 microsecond', hash,
               CASE WHEN fires THEN 'firing' ELSE 'resolved' END, starts_at, ends_at, r.labels, r.annotations, url
        FROM r, LATERAL unnest(r.earlier) AS before (number)
        WHERE r.earlier IS NOT NULL
    ),
    known AS (
        UPDATE alerts a
        SET last_received_at = r.received_at, last_hash = r.hash,
            seen_at = CASE WHEN fires THEN r.received_at ELSE a.seen_at END,
            annotations = CASE WHEN kind IN ('told', 'another') THEN r.annotations ELSE a.annotations END,
            generator_url = CASE WHEN fires AND url <> '' THEN url ELSE a.generator_url END,
            generation = CASE WHEN kind = 'another' THEN a.generation + 1 ELSE a.generation END,
            starts_at = CASE WHEN kind = 'another' THEN r.starts_at ELSE a.starts_at END,
            newest_start = CASE WHEN kind = 'another' THEN greatest(a.newest_start, r.starts_at) ELSE a.newest_start END,
            ends_at = CASE WHEN fires THEN NULL ELSE coalesce(r.ends_at, r.starts_at) END,
            last_end = CASE WHEN fires THEN a.last_end ELSE coalesce(r.ends_at, r.starts_at) END,
            last_end_received_at = CASE
                WHEN fires THEN a.last_end_received_at
                WHEN r.earlier IS NULL THEN r.received_at
                ELSE at + r.earlier[1] * interval '1 microsecond' END
        FROM r WHERE a.ctid = r.place
        RETURNING 1
    ),
    first_heard AS (
        INSERT INTO alerts (source, fingerprint, labels, annotations, generator_url, generation, starts_at,
                            newest_start, seen_at, last_received_at, last_hash)
        SELECT of_source, fingerprint, r.labels, r.annotations, url, 1, starts_at, starts_at, received_at,
               received_at, hash
        FROM r WHERE kind = 'new'
        ON CONFLICT DO NOTHING
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM known) + (SELECT count(*) FROM first_heard) INTO written;
    IF written < cardinality(prints) - cardinality(left_over) THEN
        RAISE EXCEPTION 'another transaction stored the same new alert' USING ERRCODE = 'serialization_failure';
    END IF;

    FOREACH print IN ARRAY over LOOP
        WITH told AS (
            UPDATE members m
            SET ends_at = a.ends_at, seen_at = CASE WHEN m.generation = a.generation THEN a.seen_at ELSE m.seen_at END
            FROM (SELECT generation, ends_at, seen_at FROM alerts
                  WHERE source = of_source AND fingerprint = print OFFSET 0) AS a
            WHERE m.source = of_source AND m.fingerprint = print AND (m.generation = a.generation OR m.ends_at IS NULL)
            RETURNING m.incident_id
        )
        SELECT woken || coalesce(array_agg(incident_id), '{}') INTO woken FROM told;
    END LOOP;

    worst := array_fill(NULL::text, ARRAY[cardinality(rules)]);
    FOR number, worse IN
        SELECT u.n, min(u.severity)
        FROM unnest(kinds, belongs, string_to_array(severities, E'\n')) AS u (kind, n, severity)
        WHERE u.kind IN ('new', 'another') AND u.n > 0
        GROUP BY u.n
    LOOP
        worst[number] := worse;
    END LOOP;
    IF cardinality(more) > 0 THEN
        FOR number, worse IN
            SELECT u.n, min(u.severity)
            FROM unnest(more, more_belongs, string_to_array(more_severities, E'\n')) AS u (alert, n, severity)
            WHERE kinds[u.alert] IN ('new', 'another')
            GROUP BY u.n
        LOOP
            worst[number] := least(worst[number], worse);
        END LOOP;
    END IF;

    -- An array and no join, and read again when locked: whoever was waited for may have closed one of them. One that
    -- was opened in its place meanwhile is not locked, and its owner may close it: opening another conflicts with it,
    -- and all is tried again.
    SELECT array_agg(l.id) INTO locked
    FROM (
        SELECT i.id FROM incidents i
        WHERE i.id = ANY (ARRAY(
            SELECT o.id FROM unnest(rules, key_hashes, worst) AS u (rule, key_hash, severity)
                 LEFT JOIN incidents o ON o.rule = u.rule AND o.key_hash = u.key_hash AND o.state <> 'closed'
            WHERE u.severity IS NOT NULL
            UNION ALL SELECT unnest(woken)))
        ORDER BY i.rule, i.key_hash, i.id
        FOR UPDATE
    ) AS l;
    SELECT array_agg(i.id ORDER BY u.n) INTO there
    FROM unnest(rules, key_hashes, worst) WITH ORDINALITY AS u (rule, key_hash, severity, n)
         LEFT JOIN incidents i ON u.severity IS NOT NULL AND i.rule = u.rule AND i.key_hash = u.key_hash
                                  AND i.state <> 'closed' AND i.id = ANY (locked);

    UPDATE incidents i
    SET wakes = wakes + 1, severity = least(i.severity, u.severity),
        due_at = least(due_at, CASE WHEN i.state IN ('pending', 'open', 'resolved', 'recorded') THEN at
                                    ELSE at + news_within END)
    FROM (
        SELECT l.ctid, min(n.severity)
        FROM (SELECT * FROM unnest(there, worst) UNION ALL SELECT unnest(woken), NULL) AS n (id, severity)
             LEFT JOIN incidents l ON l.id = n.id AND l.state <> 'closed'
        GROUP BY l.ctid
    ) AS u (place, severity)
    WHERE i.ctid = u.place;

    FOR number IN 1 .. cardinality(rules) LOOP
        IF worst[number] IS NOT NULL AND there[number] IS NULL THEN
            there[number] := uuid7(at);
            opened := opened || number;
        END IF;
    END LOOP;
    IF cardinality(opened) > 0 THEN
        INSERT INTO incidents (id, rule, key_hash, key, rulebook_hash, severity, state, opened_at, state_since,
                               deadline, due_at)
        SELECT u.id, u.rule, u.key_hash, u.key::jsonb, rulebook, u.severity, 'pending', at, at, at + u.wait, at + u.wait
        FROM unnest(there, rules, key_hashes, keys, waits, worst)
             WITH ORDINALITY AS u (id, rule, key_hash, key, wait, severity, n)
        WHERE u.n = ANY (opened)
        ON CONFLICT (rule, key_hash) WHERE state <> 'closed' DO NOTHING;
        GET DIAGNOSTICS written = ROW_COUNT;
        IF written < cardinality(opened) THEN
            RAISE EXCEPTION 'another transaction opened the same incident' USING ERRCODE = 'serialization_failure';
        END IF;
    END IF;

    INSERT INTO members (source, fingerprint, generation, rule, incident_id, starts_at, seen_at, joined_at)
    SELECT of_source, u.fingerprint,
           CASE WHEN u.kind = 'new' THEN 1
                ELSE (SELECT generation FROM alerts WHERE source = of_source AND fingerprint = u.fingerprint) END,
           rules[u.n], there[u.n], u.starts_at, at + u.last * interval '1 microsecond', at
    FROM unnest(kinds, prints, began, last, belongs) AS u (kind, fingerprint, starts_at, last, n)
    WHERE u.kind IN ('new', 'another') AND u.n > 0;
    IF cardinality(more) > 0 THEN
        INSERT INTO members (source, fingerprint, generation, rule, incident_id, starts_at, seen_at, joined_at)
        SELECT of_source, prints[u.alert],
               CASE WHEN kinds[u.alert] = 'new' THEN 1
                    ELSE (SELECT generation FROM alerts
                          WHERE source = of_source AND fingerprint = prints[u.alert]) END,
               rules[u.n], there[u.n], began[u.alert], at + last[u.alert] * interval '1 microsecond', at
        FROM unnest(more, more_belongs) AS u (alert, n)
        WHERE kinds[u.alert] IN ('new', 'another');
    END IF;

    SELECT coalesce(array_agg(u.id), '{}') INTO concerned
    FROM unnest(there, worst) AS u (id, severity) WHERE u.severity IS NOT NULL;
    SELECT count(*) INTO due FROM incidents WHERE id = ANY (concerned || woken) AND due_at <= at AND owner IS NULL;
END $$;
COMMENT ON FUNCTION take_in IS 'What is said of alerts, and all that follows, where it needs no folding; which of them are left to be folded.';
