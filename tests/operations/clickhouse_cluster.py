"""Runs the DDL of a cluster on the engine, with a real ZooKeeper. A separate program: the engine owns its process.

    clickhouse_cluster.py LIBCHDB ZOOKEEPER_PORT DIRECTORY < statements (one JSON string a line)

Prints one JSON line for each statement: {"rows": ...} or {"error": ...}. The engine is the only shard of the cluster
`eye`. In the cluster `two` it stands for both shards, so every row is read twice. The engine has no worker for ON
CLUSTER, so the caller omits that.
"""

import ctypes
import json
import pathlib
import sys

CONFIG = """<clickhouse>
  <zookeeper><node><host>127.0.0.1</host><port>{port}</port></node></zookeeper>
  <macros><shard>1</shard><replica>a</replica></macros>
  <tcp_port>9000</tcp_port>
  <remote_servers>
    <eye>{shard}</eye>
    <two>{shard}{shard}</two>
  </remote_servers>
</clickhouse>"""


SHARD = "<shard><replica><host>127.0.0.1</host><port>9000</port></replica></shard>"


class Engine:
    def __init__(self, library, *arguments):
        self.lib = lib = ctypes.CDLL(library)
        pointer, size, text = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
        for name, result, parameters in [
            ("chdb_connect", ctypes.POINTER(pointer), [ctypes.c_int, ctypes.POINTER(text)]),
            ("chdb_close_conn", None, [ctypes.POINTER(pointer)]),
            ("chdb_query_n", pointer, [pointer, text, size, text, size]),
            ("chdb_result_error", text, [pointer]),
            ("chdb_result_buffer", pointer, [pointer]),
            ("chdb_result_length", size, [pointer]),
            ("chdb_destroy_query_result", None, [pointer]),
        ]:
            function = getattr(lib, name)
            function.restype, function.argtypes = result, parameters
        lib.chdb_set_signal_handlers_enabled(0)
        arguments = [b"clickhouse", *(argument.encode() for argument in arguments)]
        self.connection = lib.chdb_connect(len(arguments), (text * len(arguments))(*arguments))
        assert self.connection, "the engine does not start"

    def query(self, sql, form="JSONCompactEachRow"):
        statement, form = sql.encode(), form.encode()
        result = self.lib.chdb_query_n(self.connection[0], statement, len(statement), form, len(form))
        error = self.lib.chdb_result_error(result)
        if error:
            answer = {"error": error.decode()}
        else:
            length = self.lib.chdb_result_length(result)
            text = ctypes.string_at(self.lib.chdb_result_buffer(result), length) if length else b""
            answer = {"rows": [json.loads(line) for line in text.splitlines()]}
        self.lib.chdb_destroy_query_result(result)
        return answer

    def close(self):
        self.lib.chdb_close_conn(self.connection)


def main():
    library, port, directory = sys.argv[1:]
    config = pathlib.Path(directory) / "config.xml"
    config.write_text(CONFIG.format(port=port, shard=SHARD))
    engine = Engine(library, f"--path={directory}/data", f"--config-file={config}")
    for line in sys.stdin:
        print(json.dumps(engine.query(json.loads(line))), flush=True)
    engine.close()


if __name__ == "__main__":
    main()
