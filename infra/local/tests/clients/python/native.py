"""A round trip of clickhouse-driver (the native protocol). CLICKHOUSE_NATIVE is host:port."""

import os
from datetime import datetime, timezone
from uuid import uuid4

from clickhouse_driver import Client
from clickhouse_driver.errors import ServerException

host, port = os.environ["CLICKHOUSE_NATIVE"].split(":")


def connect(**options):
    user = {"user": "writer", "password": os.environ["CLICKHOUSE_PASSWORD"], "database": "eye_test", **options}
    return Client(host, port=int(port), **user)


client = connect()
client.execute("DROP TABLE IF EXISTS driver")
client.execute(
    "CREATE TABLE driver (n UInt64, id UUID, at DateTime64(6, 'UTC'), tags Array(String), "
    "kind LowCardinality(String), note Nullable(String), raw String) ENGINE = MergeTree ORDER BY n"
)
written = [
    (1, uuid4(), datetime(2021, 1, 1, 9, 15, 27, 243860, timezone.utc), ["a", "é"], "x", "a note", "nul\0'\n"),
    (2, uuid4(), datetime(1970, 1, 1, tzinfo=timezone.utc), [], "y", None, ""),
]
assert client.execute("INSERT INTO driver VALUES", written) == 2
assert client.execute("SELECT * FROM driver ORDER BY n") == written

for client in (client, connect(user="analyst", password="", database="eye")):
    # Parameters.
    assert client.execute("SELECT number FROM numbers(9) WHERE number = %(n)s", {"n": 2}) == [(2,)]

    # An error, at once and in the middle.
    for statement, code in [("SELECT bad", 47), ("SELECT throwIf(number = 500000), number FROM numbers(1000000)", 395)]:
        try:
            client.execute(statement)
        except ServerException as error:
            assert error.code == code, error
        else:
            raise AssertionError("no error")

    # A large streamed result, and one that is cancelled.
    assert sum(1 for _ in client.execute_iter("SELECT number FROM numbers(2000000)")) == 2_000_000
    endless = client.execute_with_progress("SELECT max(sleepEachRow(0.00003)) FROM numbers(20000000)")
    next(iter(endless))
    client.cancel()
    client.disconnect()
    assert client.execute("SELECT 1") == [(1,)]

# JDBC up to 0.9.9 sends `async_insert` with every statement.
settings = {"max_execution_time": 5, "async_insert": 0}
assert client.execute("SELECT a FROM numbers_of ORDER BY a", settings=settings) == [(1,), (2,), (3,)]
try:
    client.execute("SELECT * FROM eye_test.driver")
except ServerException as error:
    assert error.code == 497, error
else:
    raise AssertionError("no error")
