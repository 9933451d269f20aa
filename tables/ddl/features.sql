/*
The dictionary of `sequences`: a small dense number for each (category, name) that was ever accepted.
Append-only. Numbers from n on are given out only by a writer that has seen all numbers below n, in one
block whose deduplication token names n: of two writers the first wins and the other one reads again, so
a feature never has two numbers and a number never two features. The window must therefore outlast
the numbers, and MergeTree (not Replacing) keeps the first row.
*/
CREATE TABLE IF NOT EXISTS {database}.features
(
    id UInt16,
    category String,
    name String
)
ENGINE = MergeTree
ORDER BY id
SETTINGS non_replicated_deduplication_window = 70000
