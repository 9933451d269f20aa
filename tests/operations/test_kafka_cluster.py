"""Three brokers, set up by infra/kafka, with rights: the services have what they need, and nobody has more.

The brokers are real and use SASL; the services are unchanged; ClickHouse is the running pipeline's, in its own database.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
import uuid

import pytest
import tools
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from pipeline import address, eventually, get
from test_deployment import binary

TOPIC = "eye.events"
USERS = ["admin", "ingest", "projector", "query-api", "shop", "stranger"]
EVENT = {
    "category": "page interaction",
    "name": "pageview",
    "data": {"host": "www.example.com", "path": "/"},
    "timestamp": "2021-01-01 09:15:27.243860",
}


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def sasl(user):
    return {
        "security.protocol": "sasl_plaintext",
        "sasl.mechanism": "PLAIN",
        "sasl.username": user,
        "sasl.password": f"{user}-password",
    }


class Cluster:
    def __init__(self, directory):
        self.directory = directory
        ports = free_ports(6)
        self.brokers, controllers = ports[:3], ports[3:]
        self.bootstrap = ",".join(f"127.0.0.1:{port}" for port in self.brokers)
        voters = ",".join(f"{node}@127.0.0.1:{port}" for node, port in enumerate(controllers, 1))
        users = " ".join(f'user_{user}="{user}-password"' for user in USERS)
        login = f'org.apache.kafka.common.security.plain.PlainLoginModule required username="admin" password="admin-password" {users};'
        advised = (tools.ROOT / "infra/kafka/cluster.properties").read_text()
        self.processes = []
        for node, (port, controller) in enumerate(zip(self.brokers, controllers), 1):
            config = directory / f"broker-{node}.properties"
            config.write_text(
                f"{advised}\nprocess.roles=broker,controller\nnode.id={node}\ncontroller.quorum.voters={voters}\n"
                f"listeners=SASL_PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n"
                "listener.security.protocol.map=SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT\n"
                "controller.listener.names=CONTROLLER\ninter.broker.listener.name=SASL_PLAINTEXT\n"
                "sasl.enabled.mechanisms=PLAIN\nsasl.mechanism.inter.broker.protocol=PLAIN\n"
                f"listener.name.sasl_plaintext.plain.sasl.jaas.config={login}\n"
                "super.users=User:admin;User:ANONYMOUS\n"
                f"log.dirs={directory}/data-{node}\nbroker.session.timeout.ms=6000\n"
                "group.initial.rebalance.delay.ms=0\nlog.cleaner.dedupe.buffer.size=2097152\nlog.cleaner.threads=1\n"
            )
            self.java("kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", config)
            log = open(directory / f"broker-{node}.log", "w")
            self.processes.append(subprocess.Popen(self.command("kafka.Kafka", config), stdout=log, stderr=log))
        self.admin = directory / "admin.properties"
        self.admin.write_text(
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config="
            'org.apache.kafka.common.security.plain.PlainLoginModule required username="admin" password="admin-password";\n'
        )

    @staticmethod
    def command(*arguments):
        java = ["java", "-Xms64m", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        return [*java, "-cp", f"{tools.kafka()}/*", *map(str, arguments)]

    def java(self, *arguments):
        return tools.run(*self.command(*arguments))

    def environment(self, user):
        """The settings with which a service reaches the cluster as this user."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EYE_")}
        return {
            **kept,
            "EYE_KAFKA_BROKERS": self.bootstrap,
            "EYE_KAFKA_OPTIONS": ";".join(f"{key}={value}" for key, value in sasl(user).items()),
            "EYE_CLICKHOUSE_URL": address("EYE_CLICKHOUSE_URL"),
            "EYE_CLICKHOUSE_USER": address("EYE_CLICKHOUSE_USER"),
            "EYE_CLICKHOUSE_PASSWORD_FILE": address("EYE_CLICKHOUSE_PASSWORD_FILE"),
            "EYE_CLICKHOUSE_DATABASE": f"eye_three_{self.directory.name.replace('-', '_')}",
            "EYE_APPS": str(tools.ROOT / "tests/data/apps.toml"),
        }

    def complete(self):
        client = AdminClient({"bootstrap.servers": self.bootstrap, **sasl("admin")})
        with contextlib.suppress(KafkaException):
            return len(client.list_topics(timeout=5).brokers) == 3

    def produce(self, user, value=b"{}"):
        """The error of sending one record, or none."""
        errors = []
        producer = Producer({"bootstrap.servers": self.bootstrap, "message.timeout.ms": 60000, "acks": "all", **sasl(user)})
        producer.produce(TOPIC, key="k", value=value, on_delivery=lambda error, _: errors.append(error))
        producer.flush(90)
        return errors[0]

    def stop(self):
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()


class Service:
    def __init__(self, cluster, program, *arguments):
        [self.port] = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = cluster.directory / f"{program}.log"
        command = [binary(program), *arguments, "--listen", f"127.0.0.1:{self.port}"]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, env=cluster.environment(program), stdout=log, stderr=log)

    def ready(self):
        def answers():
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            with contextlib.suppress(OSError):
                return get(self.url + "/readyz", timeout=5)

        eventually(f"ready: {self.log}", answers)
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("kafka"))
    scripts = tmp_path_factory.mktemp("bin")
    tools.kafka_scripts(scripts)
    path = {**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}"}
    admin = ["--bootstrap-server", cluster.bootstrap, "--command-config", cluster.admin]

    def topics(*arguments):
        done = subprocess.run([scripts / "kafka-topics.sh", *admin, *arguments], capture_output=True, text=True)
        return done.returncode == 0 and done.stdout + "\n"

    cluster.topics = topics
    try:
        eventually("the three brokers know each other", cluster.complete)
        verb = [binary("projector"), "migrate", "--partitions", "4", "--replication", "3", "--min-in-sync", "2"]
        tools.run(*verb, env=cluster.environment("admin"))
        said = tools.run(tools.ROOT / "infra/kafka/acls.sh", *admin, "--", "shop", env=path)
        assert "shop: " in said and "ingest: " in said, said
        yield cluster
    finally:
        cluster.stop()


def test_the_topic_is_kept_three_times(cluster):
    described = cluster.topics("--describe", "--topic", TOPIC)
    assert "ReplicationFactor: 3" in described and "PartitionCount: 4" in described, described
    for setting in ["min.insync.replicas=2", "retention.ms=-1", "message.timestamp.type=LogAppendTime"]:
        assert setting in described, described


def test_nobody_may_do_more_than_they_need(cluster):
    denied = KafkaError.TOPIC_AUTHORIZATION_FAILED
    eventually("shop may write", lambda: cluster.produce("shop") is None)
    for user in ["projector", "query-api", "stranger"]:
        assert cluster.produce(user).code() == denied, user
    for user in ["ingest", "shop", "query-api", "stranger"]:
        with contextlib.closing(Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "theirs", **sasl(user)})) as consumer:
            consumer.assign([TopicPartition(TOPIC, 0, 0)])
            error = eventually(f"{user} gets an answer", lambda: consumer.poll(1)).error()
            assert error is not None and error.code() in (denied, KafkaError.GROUP_AUTHORIZATION_FAILED), (user, error)


def test_the_services_have_what_they_need_and_survive_a_broker(cluster):
    with (
        Service(cluster, "ingest", "run").ready() as ingest,
        Service(cluster, "projector", "run").ready(),
        Service(cluster, "query-api").ready() as query_api,
    ):
        first = [post(ingest, str(uuid.uuid4())) for _ in range(20)]
        victim = cluster.processes[2]
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        # Two of three brokers have each event, so it is acknowledged, if not at the first try.
        second = [post(ingest, str(uuid.uuid4())) for _ in range(20)]
        for event in first + second:
            eventually(f"{event} is accepted", lambda event=event: fate(query_api, event) == "accepted")
        # The query API can ask where the log ends, and each of its offsets has a verdict.
        audit = eventually("the audit adds up", lambda: adds_up(query_api))
        assert len(audit["partitions"]) == 4


def post(ingest, event_id):
    body = json.dumps({**EVENT, "session_id": str(uuid.uuid4()), "event_id": event_id}).encode()
    headers = {"Authorization": "Bearer demo-key", "Content-Type": "application/json"}

    def attempt():
        # A 503 tells the sender to send again, with the same event_id.
        request = urllib.request.Request(ingest.url + "/events", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status == 202 and "offset" in json.load(answer)["receipts"][0]
        except urllib.error.HTTPError as error:
            assert error.code == 503, error.read()

    eventually(f"{event_id} is acknowledged", attempt)
    return event_id


def fate(query_api, event_id):
    with contextlib.suppress(urllib.error.HTTPError):
        return json.loads(get(f"{query_api.url}/v1/events/{event_id}"))["verdict"]


def adds_up(query_api):
    audit = json.loads(get(query_api.url + "/v1/audit"))
    return audit if audit["adds_up"] and audit["log_compared"] else None
