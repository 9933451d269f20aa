/* The types of the tables that the views fill: to convert them cost a tenth of a small insert. */
ALTER TABLE {database}.landing
    MODIFY COLUMN app LowCardinality(String),
    MODIFY COLUMN category LowCardinality(String),
    MODIFY COLUMN name LowCardinality(String),
    MODIFY COLUMN reasons Array(Tuple(code LowCardinality(String), pointer String, keyword LowCardinality(String), message String))
