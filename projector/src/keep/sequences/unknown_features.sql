SELECT DISTINCT toString(category) AS category, toString(name) AS name
FROM {all}.events
WHERE (toString(events.category), toString(events.name)) GLOBAL NOT IN (SELECT category, name FROM {all}.features)
ORDER BY category, name
