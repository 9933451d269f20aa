"""The DDL of a replicated ClickHouse cluster: parsed and run by the real engine, registered in a real ZooKeeper.

This can't show several servers (tests/e2e/shards.rs has plain ones). The embedded engine has no ON CLUSTER worker, no
port for other servers and no replication thread, so it creates replicated tables, but they stay read-only.
"""

import json
import re
import socket
import subprocess
import sys
import time

import jinja2
import pytest
import tools
from test_deployment import binary

ON_CLUSTER = " ON CLUSTER 'eye'"
SHARDED = {"ledger", "events", "rejections", "sequences", "erasures"}


def rendered(*options):
    script = tools.run(binary("projector"), "migrate", "--render", *options)
    return [statement for statement in re.split(r";\n(?:\n|$)", script) if statement.strip()]


@pytest.fixture(scope="module")
def ddl():
    return rendered("--clickhouse-cluster", "eye")


@pytest.fixture(scope="module")
def zookeeper(tmp_path_factory):
    directory = tmp_path_factory.mktemp("zookeeper")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = directory / "zoo.cfg"
    config.write_text(
        f"tickTime=2000\ndataDir={directory}/data\nclientPort={port}\nclientPortAddress=127.0.0.1\n"
        "admin.enableServer=false\n4lw.commands.whitelist=srvr\n"
    )
    command = ["java", "-Xmx96m", "-XX:TieredStopAtLevel=1", "-cp", f"{tools.zookeeper()}/*"]
    main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
    with open(directory / "log", "w") as log:
        process = subprocess.Popen([*command, main, config], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not answers(port):
            assert process.poll() is None and time.monotonic() < deadline, (directory / "log").read_text()
            time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait()


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"srvr")
            return b"Mode" in connection.recv(4096)
    except OSError:
        return False


class Engine:
    """The engine in its own process."""

    def __init__(self, zookeeper, directory):
        program = tools.HERE / "clickhouse_cluster.py"
        command = [sys.executable, program, tools.engine(), str(zookeeper), directory]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def answer(self, sql):
        self.process.stdin.write(json.dumps(sql) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the engine died of: {sql}"
        return json.loads(line)

    def query(self, sql):
        answer = self.answer(sql)
        assert "error" not in answer, f"{answer['error']}\n{sql}"
        return answer["rows"]


@pytest.fixture(scope="module")
def engine(zookeeper, tmp_path_factory):
    engine = Engine(zookeeper, tmp_path_factory.mktemp("clickhouse"))
    try:
        yield engine
    finally:
        # kill -9: nothing here is kept, and a replicated table without a thread is slow to close.
        engine.process.kill()
        engine.process.wait()


def quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def test_the_engine_understands_every_statement(engine, ddl):
    """This includes statements that it can't run alone: formatQuery is ClickHouse's own parser."""
    for statement in ddl:
        [[text]] = engine.query(f"SELECT formatQuerySingleLine({quoted(statement)})")
        assert ("ON CLUSTER" in text) == text.startswith(("CREATE", "ALTER")), text


def test_the_tables_of_a_cluster_come_into_being(engine, ddl):
    created = [statement for statement in ddl if "CREATE" in statement]
    for statement in created:
        assert ON_CLUSTER in statement
        engine.query(statement.replace(ON_CLUSTER, ""))
    tables = dict(engine.query("SELECT name, engine FROM system.tables WHERE database = 'eye_g1'"))
    assert {name for name, kind in tables.items() if kind == "Distributed"} == SHARDED | {"mutations"}
    local = dict(engine.query("SELECT name, engine FROM system.tables WHERE database = 'eye_g1_local'"))
    assert set(local) == SHARDED and all(kind.startswith("Replicated") for kind in local.values()), local
    assert not [name for name, kind in tables.items() if kind in ("MergeTree", "ReplacingMergeTree")]
    # Each table is registered in ZooKeeper. A table that is whole on every server has one path for all shards.
    paths = engine.query("SELECT database, table, zookeeper_path FROM system.replicas WHERE startsWith(database, 'eye_g1')")
    replicated = {name for name, kind in tables.items() if kind.startswith("Replicated")}
    assert {name for _, name, _ in paths} == replicated | SHARDED
    for database, _, path in paths:
        whole = "/clickhouse/tables/all/"
        assert path.startswith("/clickhouse/tables/1/" if database.endswith("_local") else whole), path
    # The views read the distributed tables.
    for view in ["events", "features", "ledger", "rejections", "sequences"]:
        assert engine.query(f"SELECT count() FROM eye.{view}") == [[0]]
    assert engine.query("SELECT generation FROM eye.generation") == [[1]]


def create_plain(engine, cluster, database):
    """The same statements, with plain engines below the distributed tables, so that they take rows; a thousand."""
    for statement in rendered("--clickhouse-cluster", cluster, "--clickhouse-database", database):
        statement = statement.replace(f" ON CLUSTER '{cluster}'", "")
        engine.query(re.sub(r"Replicated(\w*MergeTree)\('[^']*', '[^']*'(?:, )?([^)]*)\)", r"\1(\2)", statement))
    engine.query(
        f"INSERT INTO {database}_g1.landing SELECT 1 + if(number % 2, 2, 4) AS targets, number % 4 AS partition, number AS offset, "
        "if(number % 2, 'accepted', 'rejected') AS verdict, generateUUIDv4(number), generateUUIDv4(number + 1), '', 'demo', 'c', 'n', '{}', "
        "now64(6), NULL, now64(6), now64(3), 1, 0, [], 0, '', '' FROM numbers(1000) "
        "SETTINGS distributed_foreground_insert = 1"
    )


def test_one_insert_reaches_every_target_over_distributed_tables(engine):
    create_plain(engine, "eye", "plain")
    assert engine.query("SELECT count(), uniqExact(offset) FROM plain.ledger") == [[1000, 1000]]
    assert engine.query("SELECT count() FROM plain.events") == [[500]]
    assert engine.query("SELECT count() FROM plain.rejections") == [[500]]
    assert engine.query("SELECT max(version) FROM plain_g1.migrations")[0][0] > 0
    assert engine.query("SELECT sum(position) FROM plain.positions") == [[997 + 998 + 999 + 1000]]


# Questions of the services that read a sharded table for rows of another, or of itself.
STATEMENTS = [
    "query-api/src/events/list.sql",
    "query-api/src/events/fate.sql",
    "query-api/src/feed/news.sql",
    "tables/derived/sequences.sql",
    "tables/derived/usage_days.sql",
]
PARAMETERS = {
    **{"from": "1900-01-01", "to": "2299-12-31", "after_time": "2299-12-31", "after_partition": 0, "after_offset": 0},
    **{"start": 1, "limit": 10, "app": "", "category": "", "name": "", "session_id": ""},
    **{"event_id": "00000000-0000-0000-0000-000000000000", "everything": 0},
    **{"partitions": "[1,2]", "starts": "[0,0]", "ends": "[500,500]"},
}


@pytest.mark.parametrize("file", STATEMENTS)
def test_statements_with_subqueries_run_on_several_shards(engine, file):
    if not engine.query("SELECT 1 FROM system.databases WHERE name = 'two_g1'"):
        create_plain(engine, "two", "two")
        engine.query("INSERT INTO two_g1.features SELECT 1, 'c', 'n'")
    loader = jinja2.FileSystemLoader([tools.ROOT, tools.ROOT / "query-api/src"])
    sql = jinja2.Environment(loader=loader).get_template(file).render(newest=True)
    sql = sql.replace("{touched}", (tools.ROOT / "tables/derived/touched.sql").read_text())
    sql = sql.replace("{all}", "two_g1")
    engine.query("USE two_g1")
    for name, value in PARAMETERS.items():
        engine.query(f"SET param_{name} = '{value}'")
    engine.query("SET distributed_foreground_insert = 1")
    # First ClickHouse's default, then the setting of the services.
    engine.query("SET distributed_product_mode = 'deny'")
    assert "Double-distributed" in engine.answer(sql)["error"]
    engine.query("SET distributed_product_mode = 'local'")
    rows = engine.query(sql)
    if file.endswith("list.sql"):
        assert len(rows) == 10
    if file.endswith("sequences.sql"):
        # The accepted events of partition 1 below 500, each in its own session, read twice here.
        assert [events for _, events, *_ in rows] == [2] * 125


def test_one_server_gets_plain_tables():
    assert not [statement for statement in rendered() if "Replicated" in statement or "CLUSTER" in statement]
