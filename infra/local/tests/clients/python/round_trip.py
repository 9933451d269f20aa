"""A round trip of clickhouse-connect (HTTP). CLICKHOUSE_URL is where the server answers."""

import os
from datetime import datetime, timezone
from urllib.parse import urlsplit
from uuid import uuid4

import clickhouse_connect
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

address = urlsplit(os.environ["CLICKHOUSE_URL"])


def connect(**options):
    user = {"username": "writer", "password": os.environ["CLICKHOUSE_PASSWORD"], "database": "eye_test", **options}
    return clickhouse_connect.get_client(host=address.hostname, port=address.port, **user)


for compress in (False, "lz4", "zstd", "gzip"):
    client = connect(compress=compress)
    client.command("DROP TABLE IF EXISTS python")
    client.command(
        "CREATE TABLE python (n UInt64, id UUID, at DateTime64(6, 'UTC'), tags Array(String), "
        "kind LowCardinality(String), note Nullable(String), raw String) ENGINE = MergeTree ORDER BY n"
    )
    written = [
        (1, uuid4(), datetime(2021, 1, 1, 9, 15, 27, 243860, timezone.utc), ["a", "é"], "x", "a note", "nul\0'\n"),
        (2, uuid4(), datetime(1970, 1, 1, tzinfo=timezone.utc), [], "y", None, ""),
    ]
    client.insert("python", written, column_names=["n", "id", "at", "tags", "kind", "note", "raw"])
    result = client.query("SELECT * FROM python ORDER BY n", column_formats={"at": "native"}, query_tz="UTC")
    read = [(*row[:2], row[2].replace(tzinfo=timezone.utc), *row[3:]) for row in result.result_rows]
    assert read == written, (read, written)

    # Parameters.
    assert client.query("SELECT kind FROM python WHERE n = {n:UInt64}", parameters={"n": 2}).result_rows == [("y",)]

    # An error, at once and in the middle.
    try:
        client.query("SELECT bad")
    except DatabaseError as error:
        assert "47" in str(error), error
    else:
        raise AssertionError("no error")
    try:
        client.query("SELECT throwIf(number = 500000, 'boom'), number FROM numbers(1000000) SETTINGS max_block_size = 10000")
    except (StreamFailureError, DatabaseError) as error:
        assert "boom" in str(error), error
    else:
        raise AssertionError("an error in the middle was taken for the end")

    # A large streamed result, and leaving in the middle.
    with client.query_row_block_stream("SELECT number FROM numbers(2000000)") as stream:
        assert sum(len(block) for block in stream) == 2_000_000
    # clickhouse-connect leaves by reading the rest, so this one is not endless.
    with client.query_row_block_stream("SELECT number FROM numbers(5000000)") as stream:
        next(iter(stream))
        stream.source.close()
    assert connect().command("SELECT 1") == 1
    client.close()

# An analyst, who may change next to no setting.
analyst = connect(username="analyst", password="", database="eye")
assert analyst.query("SELECT a FROM numbers_of WHERE a = {n:UInt64}", parameters={"n": 2}).result_rows == [(2,)]
assert analyst.query("SELECT a FROM numbers_of ORDER BY a", settings={"max_execution_time": 5}).row_count == 3
try:
    analyst.query("SELECT * FROM eye_test.python")
except DatabaseError as error:
    assert "497" in str(error), error
else:
    raise AssertionError("no error")
