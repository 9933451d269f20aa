/* Half the time to read them, for a third more space: unpacking was a quarter of what a question of order costs. */
ALTER TABLE {database}.sequences
    MODIFY COLUMN times Array(DateTime64(6, 'UTC')) CODEC(Delta(8), LZ4)
