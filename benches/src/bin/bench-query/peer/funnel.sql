-- PostHog's form: window functions go back through each session and carry the earliest time of each later step.
WITH
    (
        SELECT groupArray(name)
        FROM (SELECT name FROM peer_events GROUP BY name ORDER BY count() DESC, name LIMIT 5)
    ) AS steps,
    marked AS
    (
        SELECT
            session_id,
            timestamp,
            if(name = steps[1], timestamp, NULL) AS t1,
            if(name = steps[2], timestamp, NULL) AS t2,
            if(name = steps[3], timestamp, NULL) AS t3,
            if(name = steps[4], timestamp, NULL) AS t4,
            if(name = steps[5], timestamp, NULL) AS t5
        FROM peer_events
        WHERE name IN (SELECT arrayJoin(steps))
    ),
    second AS
    (
        SELECT
            session_id,
            timestamp,
            t1,
            min(marked.t2) OVER back AS t2,
            min(marked.t3) OVER back AS t3,
            min(marked.t4) OVER back AS t4,
            min(marked.t5) OVER back AS t5
        FROM marked
        WINDOW back AS (PARTITION BY session_id ORDER BY timestamp DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    ),
    third AS
    (
        SELECT
            session_id,
            timestamp,
            t1,
            t2,
            min(if(second.t3 < second.t2, NULL, second.t3)) OVER back AS t3,
            min(if(second.t4 < second.t3, NULL, second.t4)) OVER back AS t4,
            min(if(second.t5 < second.t4, NULL, second.t5)) OVER back AS t5
        FROM second
        WINDOW back AS (PARTITION BY session_id ORDER BY timestamp DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    ),
    fourth AS
    (
        SELECT
            session_id,
            timestamp,
            t1,
            t2,
            t3,
            min(if(third.t4 < third.t3, NULL, third.t4)) OVER back AS t4,
            min(if(third.t5 < third.t4, NULL, third.t5)) OVER back AS t5
        FROM third
        WINDOW back AS (PARTITION BY session_id ORDER BY timestamp DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    ),
    fifth AS
    (
        SELECT session_id, timestamp, t1, t2, t3, t4, min(if(fourth.t5 < fourth.t4, NULL, fourth.t5)) OVER back AS t5
        FROM fourth
        WINDOW back AS (PARTITION BY session_id ORDER BY timestamp DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    ),
    starts AS
    (
        SELECT
            session_id,
            multiIf(
                t2 <= t3 AND t3 <= t4 AND t4 <= t5 AND t5 <= t1 + INTERVAL 1 DAY, 5,
                t2 <= t3 AND t3 <= t4 AND t4 <= t1 + INTERVAL 1 DAY, 4,
                t2 <= t3 AND t3 <= t1 + INTERVAL 1 DAY, 3,
                t2 <= t1 + INTERVAL 1 DAY, 2,
                1) AS reached,
            max(reached) OVER (PARTITION BY session_id) AS furthest,
            if(reached >= 2, t2 - t1, NULL) AS took_2,
            if(reached >= 3, t3 - t2, NULL) AS took_3,
            if(reached >= 4, t4 - t3, NULL) AS took_4,
            if(reached >= 5, t5 - t4, NULL) AS took_5
        FROM fifth
        WHERE isNotNull(t1)
    ),
    sessions AS
    (
        SELECT
            session_id,
            reached,
            median(starts.took_2) AS took_2,
            median(starts.took_3) AS took_3,
            median(starts.took_4) AS took_4,
            median(starts.took_5) AS took_5
        FROM starts
        WHERE reached = furthest
        GROUP BY session_id, reached
    )
SELECT reached AS level, count() AS sessions, median(took_2), median(took_3), median(took_4), median(took_5)
FROM sessions
GROUP BY level
ORDER BY level
