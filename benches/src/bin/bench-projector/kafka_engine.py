"""The reference: ClickHouse's own Kafka engine in a process of its own, by the C interface of libchdb.

The local server refuses this engine, as it refuses all that read from elsewhere. Prints CPU seconds and
wall seconds once EVENTS rows have arrived: kafka_engine.py LIBCHDB DATA BROKERS TOPIC EVENTS
"""
import ctypes
import resource
import sys
import time

library, data, brokers, topic, events = sys.argv[1:]
chdb = ctypes.CDLL(library)
pointer, size = ctypes.c_void_p, ctypes.c_size_t
chdb.chdb_connect.restype = ctypes.POINTER(pointer)
chdb.chdb_query_n.restype = pointer
chdb.chdb_query_n.argtypes = [pointer, ctypes.c_char_p, size, ctypes.c_char_p, size]
chdb.chdb_result_buffer.restype = pointer
chdb.chdb_result_buffer.argtypes = [pointer]
chdb.chdb_result_length.restype = size
chdb.chdb_result_length.argtypes = [pointer]
chdb.chdb_result_error.restype = ctypes.c_char_p
chdb.chdb_result_error.argtypes = [pointer]
chdb.chdb_destroy_query_result.argtypes = [pointer]
chdb.chdb_close_conn.argtypes = [ctypes.POINTER(pointer)]
chdb.chdb_set_signal_handlers_enabled(0)
arguments = [b"clickhouse", b"--path=" + data.encode()]
connection = chdb.chdb_connect(len(arguments), (ctypes.c_char_p * len(arguments))(*arguments))


def query(sql):
    text, form = sql.encode(), b"TabSeparated"
    result = chdb.chdb_query_n(connection[0], text, len(text), form, len(form))
    error = chdb.chdb_result_error(result)
    if error:
        sys.exit(error.decode())
    length = chdb.chdb_result_length(result)
    answer = ctypes.string_at(chdb.chdb_result_buffer(result), length).decode() if length else ""
    chdb.chdb_destroy_query_result(result)
    return answer.strip()


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


query("CREATE DATABASE reference")
# As in `events`: the same columns, the same order.
query("""
    CREATE TABLE reference.events
    (
        session_id UUID, timestamp DateTime64(6, 'UTC'), partition UInt16, offset UInt64, event_id UUID,
        app LowCardinality(String), category LowCardinality(String), name LowCardinality(String), data String,
        received_at DateTime64(6, 'UTC')
    )
    ENGINE = MergeTree ORDER BY (session_id, timestamp, partition, offset)""")
query(f"""
    CREATE TABLE reference.queue
    (
        session_id UUID, event_id UUID, category LowCardinality(String), name LowCardinality(String),
        data String, timestamp DateTime64(6, 'UTC')
    )
    ENGINE = Kafka
    SETTINGS kafka_broker_list = '{brokers}', kafka_topic_list = '{topic}', kafka_group_name = 'reference_{topic}',
        kafka_format = 'JSONEachRow', kafka_num_consumers = 2, kafka_thread_per_consumer = 1,
        kafka_max_block_size = 262144, kafka_poll_max_batch_size = 65536, kafka_flush_interval_ms = 2000,
        input_format_json_read_objects_as_strings = 1, date_time_input_format = 'best_effort'""")
began, before = time.time(), cpu()
query("""
    CREATE MATERIALIZED VIEW reference.consumer TO reference.events AS
    SELECT session_id, timestamp, _partition AS partition, _offset AS offset, event_id,
        _headers.value[1] AS app, category, name, data, _timestamp AS received_at
    FROM reference.queue""")
end = time.time() + 300
while int(query("SELECT count() FROM reference.events")) < int(events):
    if time.time() > end:
        sys.exit("the rows did not arrive")
    time.sleep(0.1)
took = time.time() - began
# Merges run for a while after the last insert, and belong to the price.
time.sleep(5)
print(cpu() - before, took, flush=True)
query("DROP TABLE reference.consumer")
query("DROP TABLE reference.queue SYNC")
chdb.chdb_close_conn(connection)
