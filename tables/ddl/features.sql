/*
The dictionary of `sequences`: a small dense number for each (category, name) that was ever accepted.

The table is append-only. A writer gives out numbers from n on only if it has seen all numbers below n. It inserts them
in one block whose deduplication token names n. Of two writers the first one wins, and the other one reads again. So a
feature never has two numbers, and a number never has two features.

Therefore the deduplication window must be larger than the highest number. MergeTree, and not ReplacingMergeTree, keeps
the first row.
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
