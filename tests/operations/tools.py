"""The programs that the checks run. Each has a fixed version, and is fetched once from its registry into the cache."""

import fcntl
import json
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "the-eye"

KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"
KEDA = "github.com/kedacore/keda/v2@v2.17.2"
ZOOKEEPER = HERE / "zookeeper" / "pom.xml"


def run(*command, **options):
    """The output of a command, which a failure shows. The command gets no settings of the pipeline."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("EYE_")}
    options = {"text": True, "env": clean, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **options}
    done = subprocess.run([str(part) for part in command], **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}"
    return done.stdout


def cached(name, make):
    """The directory `name` of the cache. `make(directory)` fills it once, completely or not at all."""
    target = CACHE / "operations" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target.with_name(target.name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            partial = target.with_name(target.name + ".part")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            make(partial)
            partial.rename(target)
    return target


def hadolint():
    return pathlib.Path(sys.executable).parent / "hadolint"


def prometheus():
    """The folder of Debian's `prometheus` and `promtool`: the system's, or unpacked without installing a daemon."""
    found = shutil.which("promtool"), shutil.which("prometheus")
    if all(found):
        return pathlib.Path(found[0]).parent

    def make(directory):
        if subprocess.run(["apt-get", "download", "prometheus"], cwd=directory, capture_output=True).returncode != 0:
            run("apt-get", "update")
            run("apt-get", "download", "prometheus", cwd=directory)
        [package] = directory.glob("prometheus_*.deb")
        run("dpkg", "-x", package, directory)
        package.unlink()

    return cached("prometheus", make) / "usr" / "bin"


def kustomize():
    def make(directory):
        run("go", "install", KUSTOMIZE, env={**os.environ, "GOBIN": str(directory)})

    return cached(KUSTOMIZE.rsplit("@", 1)[0].replace("/", "-") + "-" + KUSTOMIZE.rsplit("@", 1)[1], make) / "kustomize"


def compose_check():
    source = HERE / "compose"
    version = run("sha256sum", source / "main.go", source / "go.sum").replace("\n", " ").split()

    def make(directory):
        run("go", "build", "-o", directory / "compose-check", ".", cwd=source)

    return cached(f"compose-{version[0][:8]}{version[2][:8]}", make) / "compose-check"


def keda_schemas():
    """The folder with KEDA's own definitions of its resources."""
    module = run("go", "mod", "download", "-json", KEDA, cwd="/", stderr=subprocess.DEVNULL)
    return pathlib.Path(json.loads(module)["Dir"]) / "config" / "crd" / "bases"


def zookeeper():
    """The jars of Apache ZooKeeper, whose protocol ClickHouse Keeper speaks."""

    def make(directory):
        run("mvn", "-q", "-B", "-f", ZOOKEEPER, "dependency:copy-dependencies", f"-DoutputDirectory={directory}")

    return cached("zookeeper-" + run("sha256sum", ZOOKEEPER)[:8], make)


def engine():
    """The ClickHouse engine that the local stack has fetched."""
    found = sorted(CACHE.glob("**/libchdb.so"))
    assert found, f"no libchdb.so below {CACHE}: the local stack fetches it at its first start"
    return found[-1]


def kafka():
    """The jars of Kafka with its command-line tools."""
    pom = HERE / "kafka" / "pom.xml"

    def make(directory):
        run("mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", f"-DoutputDirectory={directory}")

    return cached("kafka-" + run("sha256sum", pom)[:8], make)


def kafka_scripts(directory):
    """Writes Kafka's command-line tools with the names of its distribution; Maven has only the classes."""
    for name, main in {
        "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
        "kafka-acls.sh": "org.apache.kafka.tools.AclCommand",
        "kafka-configs.sh": "org.apache.kafka.tools.ConfigCommand",
        "kafka-consumer-groups.sh": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    }.items():
        script = directory / name
        script.write_text(f'#!/bin/sh\nexec java -Xmx128m -XX:TieredStopAtLevel=1 -cp "{kafka()}/*" {main} "$@"\n')
        script.chmod(0o755)
