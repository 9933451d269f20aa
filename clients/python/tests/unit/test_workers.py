"""Worker processes that end without ``atexit``: where something tells of their end the events are sent
then, and elsewhere the spool keeps them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import billiard
import pytest
from faulty import Gateway, new_session

from the_eye import Client

TASKS = """
import os, uuid
from celery import Celery
from the_eye import Client

app = Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"
}
app.conf.worker_max_tasks_per_child = 1
eye = Client(flush_interval=60.0)

@app.task
def work(n):
    eye.track(uuid.uuid4(), "test", "task", {"n": n})
    if n == 4:
        app.control.shutdown()
"""


def test_each_process_of_a_celery_pool_sends_at_its_end(gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "queue").mkdir()
    celery = [sys.executable, "-W", "ignore", "-m", "celery", "-A", "tasks"]
    settings = {"cwd": tmp_path, "env": {**os.environ, "EYE_URL": gateway.url, "EYE_KEY": "k"}}
    # This broker orders by milliseconds, and the last task ends the worker.
    code = "import tasks, time; [(tasks.work.delay(n), time.sleep(0.01)) for n in range(5)]"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, **settings)
    worker = subprocess.Popen([*celery, "worker", "--pool=prefork", "--concurrency=1"], **settings)
    try:
        assert worker.wait(120) == 0
    finally:
        worker.kill()
    assert sorted(event["data"]["n"] for event in gateway.log) == [0, 1, 2, 3, 4]


def test_a_billiard_child_sends_at_its_end(gateway: Gateway) -> None:
    client = Client(gateway.url, "k", flush_interval=60.0)
    child = billiard.get_context("fork").Process(
        target=client.track, args=(new_session(), "test", "child", {})
    )
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert [event["name"] for event in gateway.log] == ["child"]
    client.close()


@pytest.mark.parametrize("spooled", [False, True], ids=["memory", "spool"])
def test_only_a_spool_keeps_the_events_of_a_process_that_ends_without_a_word(
    gateway: Gateway, tmp_path: Path, spooled: bool
) -> None:
    spool = str(tmp_path) if spooled else None
    parent = Client(gateway.url, "k", flush_interval=60.0, spool=spool)
    pid = os.fork()
    if pid == 0:
        # As the work horse of RQ does after its job.
        os._exit(0 if parent.track(new_session(), "test", "child", {}) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    parent.close()
    with Client(gateway.url, "k", spool=spool):
        pass
    assert [event["name"] for event in gateway.log] == (["child"] if spooled else [])
