SELECT DISTINCT toString(category) AS category, toString(name) AS name
FROM events
WHERE (toString(events.category), toString(events.name)) NOT IN (SELECT category, name FROM features)
ORDER BY category, name
