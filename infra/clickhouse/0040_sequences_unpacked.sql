/*
T64 alone: of the times read in half the time for a fifth more space, of the features in two thirds of the time and
for less space than by LZ4. Parts that are there already keep their codecs until they are merged.
*/
ALTER TABLE {database}.sequences
    MODIFY COLUMN times Array(DateTime64(6, 'UTC')) CODEC(T64),
    MODIFY COLUMN features Array(UInt16) CODEC(T64)
