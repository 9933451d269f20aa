-- Gives the next numbers to features that have none, in one block: all of them or none.
INSERT INTO features (id, category, name)
SELECT toUInt16({numbered:UInt64} + feature.1), feature.2, feature.3
FROM
(
    SELECT arrayJoin(arrayZip(arrayEnumerate({categories:Array(String)}), {categories:Array(String)}, {names:Array(String)})) AS feature
)
