"""A real Prometheus watches the running pipeline; a stopped projector fires the right alert, and no other."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.parse

import pytest
import tools
import yaml
from pipeline import SERVICES, address, eventually, get
from test_rules import PROMETHEUS, expressions


class Prometheus:
    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"

    def query(self, expression):
        answer = json.loads(get(f"{self.url}/api/v1/query?query={urllib.parse.quote(expression)}"))
        assert answer["status"] == "success", answer
        return answer["data"]["result"]

    def alerts(self, state="firing"):
        alerts = json.loads(get(f"{self.url}/api/v1/alerts"))["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == state}


def configuration(directory):
    """The deployed configuration with this pipeline's addresses and a quicker pace. The rules are unchanged."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "5s", "scrape_timeout": "5s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(PROMETHEUS / "rules.yml")]
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    config["scrape_configs"] = [jobs[name] for name in SERVICES]
    for name, variable in SERVICES.items():
        jobs[name]["static_configs"] = [{"targets": [address(variable).removeprefix("http://")]}]
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    return directory / "prometheus.yml"


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    directory = tmp_path_factory.mktemp("prometheus")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        tools.prometheus() / "prometheus",
        f"--config.file={configuration(directory)}",
        f"--storage.tsdb.path={directory}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with open(directory / "log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    server = Prometheus(port)

    def scrapes():
        assert process.poll() is None, (directory / "log").read_text()
        with contextlib.suppress(OSError):
            return len(server.query("up == 1")) == len(SERVICES)

    try:
        eventually("Prometheus scrapes all three services", scrapes)
        yield server
    finally:
        process.terminate()
        process.wait()


def test_every_expression_gets_an_answer(prometheus):
    """No rule and no panel asks for something that Prometheus can't join or compute."""
    for where, expression in expressions():
        try:
            prometheus.query(expression)
        except OSError as error:
            pytest.fail(f"{where}: {error}")


def test_a_healthy_pipeline_is_quiet(prometheus):
    rules = json.loads(get(prometheus.url + "/api/v1/rules"))["data"]["groups"]
    states = {rule["name"]: rule["health"] for group in rules for rule in group["rules"]}
    eventually("each rule is evaluated", lambda: "unknown" not in health(prometheus))
    assert states and health(prometheus) == {"ok"}
    assert prometheus.alerts() == set()


def health(prometheus):
    groups = json.loads(get(prometheus.url + "/api/v1/rules"))["data"]["groups"]
    return {rule["health"] for group in groups for rule in group["rules"]}


def test_a_stopped_projector_fires_the_freshness_alert_alone(prometheus):
    projector = int(address("EYE_PROJECTOR_PID"))
    owned = prometheus.query("sum(eye_projector_partitions)")[0]["value"][1]
    assert owned != "0"
    os.kill(projector, signal.SIGSTOP)
    try:
        stopped = time.time()
        eventually("EyeNotFresh fires", lambda: "EyeNotFresh" in prometheus.alerts())
        assert prometheus.alerts() == {"EyeNotFresh"}
    finally:
        os.kill(projector, signal.SIGCONT)
    # Prometheus itself says when the alert began: as soon as a scrape failed, not later.
    [series] = prometheus.query('ALERTS_FOR_STATE{alertname="EyeNotFresh"}')
    began = float(series["value"][1])
    print(f"pending {began - stopped:.1f} s after the stop, firing {time.time() - stopped:.1f} s after it")
    eventually("EyeNotFresh ends once the projector goes on", lambda: not prometheus.alerts())
    running = f"sum(eye_projector_partitions) == {owned} and sum(eye_projector_partitions_starting) == 0"
    eventually("the projector has its partitions again", lambda: prometheus.query(running))
