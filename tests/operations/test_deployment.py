"""The image, compose and Kubernetes, as far as they can be checked without an engine and a cluster."""

import functools
import os
import pathlib
import re
import subprocess

import jsonschema
import kubernetes_validate
import pytest
import tools
import yaml

INFRA = tools.ROOT / "infra"
KUBERNETES = "1.34"
SECRETS = {"EYE_WRITER_PASSWORD": "w", "EYE_READER_PASSWORD": "r", "EYE_ANALYST_PASSWORD": "a", "EYE_APPS_FOLDER": "/apps"}


def compose_check(**environment):
    command = [tools.compose_check(), INFRA / "compose.yaml"]
    clean = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(command, env=clean, capture_output=True, text=True)


@functools.cache
def compose():
    done = compose_check(**SECRETS)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


@functools.cache
def manifests(overlay):
    text = tools.run(tools.kustomize(), "build", INFRA / "kubernetes" / overlay, stderr=subprocess.DEVNULL)
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


def named(overlay, kind, name):
    [found] = [m for m in manifests(overlay) if (m["kind"], m["metadata"]["name"]) == (kind, name)]
    return found


def test_the_dockerfile_has_no_findings():
    tools.run(tools.hadolint(), INFRA / "Dockerfile")


def test_hadolint_would_find_something(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM debian\nRUN apt-get install curl\n")
    assert subprocess.run([tools.hadolint(), tmp_path / "Dockerfile"], capture_output=True).returncode != 0


def test_the_image_gets_all_that_the_workspace_names():
    """.dockerignore lets each member of the workspace through, because cargo reads all their manifests."""
    allowed = [line[1:] for line in (tools.ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    members = re.search(r"members = \[(.*?)\]", (tools.ROOT / "Cargo.toml").read_text(), re.S)[1]
    for member in re.findall(r'"(.*?)"', members):
        manifest = f"{member}/Cargo.toml"
        assert any(manifest == path or manifest.startswith(f"{path}/") for path in allowed), manifest


def test_the_binaries_need_libc_only():
    """The binaries need what distroless/cc has, and nothing else."""
    for program in ["ingest", "projector", "query-api"]:
        needed = re.findall(r"NEEDED.*\[(.*)\]", tools.run("readelf", "-d", binary(program)))
        assert needed and set(needed) <= {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2"}, program


def binary(program):
    found = [tools.ROOT / "target" / profile / program for profile in ["debug", "release"]]
    found = [path for path in found if path.exists()]
    assert found, f"{program} is not built: run `cargo build --workspace --bins` first"
    return max(found, key=lambda path: path.stat().st_mtime)


def test_compose_is_valid_and_says_what_is_missing():
    assert set(compose()["services"]) >= {"kafka", "clickhouse", "migrate", "ingest", "projector", "query-api"}
    for name in SECRETS:
        done = compose_check(**{key: value for key, value in SECRETS.items() if key != name})
        assert done.returncode != 0 and name in done.stderr, done.stderr


def test_compose_runs_what_the_tests_run_on():
    pom = (INFRA / "local/kafka/pom.xml").read_text()
    kafka = re.search(r"<artifactId>kafka_2.13</artifactId>\s*<version>(.*?)<", pom)[1]
    assert compose()["services"]["kafka"]["image"] == f"apache/kafka:{kafka}"
    engine = re.search(r'lib-linux-x64-gnu": "(\d+\.\d+)\.', (INFRA / "local/engine/package.json").read_text())[1]
    assert compose()["services"]["clickhouse"]["image"] == f"clickhouse/clickhouse-server:{engine}"


def test_no_image_floats():
    images = [service["image"] for service in compose()["services"].values()]
    images += re.findall(r"^FROM (\S+)", (INFRA / "Dockerfile").read_text(), re.M)
    for image in images:
        assert ":" in image and not image.endswith(":latest"), image


def test_no_port_is_open_to_the_world():
    for name, service in compose()["services"].items():
        for port in service.get("ports", []):
            assert port.get("host_ip") == "127.0.0.1", name


@pytest.mark.parametrize("overlay", ["base", "production"])
def test_manifests_fit_their_schemas(overlay):
    for manifest in manifests(overlay):
        if manifest["apiVersion"].startswith("keda.sh/"):
            jsonschema.validate(manifest, keda_schema(manifest))
        else:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def keda_schema(manifest):
    group = f"keda.sh_{manifest['kind'].lower()}s.yaml"
    definition = yaml.safe_load((tools.keda_schemas() / group).read_text())
    [version] = [v for v in definition["spec"]["versions"] if v["name"] == manifest["apiVersion"].split("/")[1]]
    return close(version["schema"]["openAPIV3Schema"])


def close(schema):
    """Allows the declared properties only; `kubectl apply` warns of others."""
    if isinstance(schema, dict):
        schema = {key: close(value) for key, value in schema.items()}
        # The schema declares metadata only as an object, because its schema is Kubernetes' own.
        if "properties" in schema and schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
    elif isinstance(schema, list):
        schema = [close(value) for value in schema]
    return schema


def test_a_misspelt_key_is_found():
    wrong = {**named("production", "ScaledObject", "projector")}
    wrong["spec"] = {**wrong["spec"], "maxReplicas": 3}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, keda_schema(wrong))
    service = {**named("base", "Service", "ingest"), "specs": {}}
    with pytest.raises(Exception, match="specs"):
        kubernetes_validate.validate(service, KUBERNETES, strict=True)


@pytest.mark.parametrize("overlay", ["base", "production"])
def test_every_service_can_be_watched_moved_and_scaled(overlay):
    for name in ["ingest", "projector", "query-api"]:
        pod = named(overlay, "Deployment", name)["spec"]["template"]
        [container] = pod["spec"]["containers"]
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container), name
        assert container["securityContext"]["readOnlyRootFilesystem"] and pod["spec"]["securityContext"]["runAsNonRoot"]
        port = str(container["ports"][0]["containerPort"])
        assert container["args"][-1].endswith(":" + port), "it listens where it is probed"
        assert pod["metadata"]["annotations"]["prometheus.io/port"] == port
        budget = named(overlay, "PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"]
        assert budget.items() <= pod["metadata"]["labels"].items(), "the budget is for these pods"


def test_autoscalers_scale_what_exists():
    deployments = {m["metadata"]["name"] for m in manifests("production") if m["kind"] == "Deployment"}
    scaled = [m for m in manifests("production") if m["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")]
    assert {m["spec"]["scaleTargetRef"]["name"] for m in scaled} == deployments
    for name in deployments:
        assert "replicas" not in named("production", "Deployment", name)["spec"], "the autoscaler owns the number"


def settings(program, *verbs):
    """The environment variables in the help of a program."""
    return set(re.findall(r"\[env:\s+(\w+)", tools.run(binary(program), *verbs, "--help")))


def test_every_setting_is_one_that_a_service_reads():
    read = settings("ingest", "run") | settings("projector", "run") | settings("projector", "migrate") | settings("query-api")
    given = set()
    for overlay in ["base", "production"]:
        for manifest in manifests(overlay):
            if manifest["kind"] == "ConfigMap" and manifest["metadata"]["name"].startswith("settings"):
                given |= set(manifest["data"])
    for name in ["migrate", "ingest", "projector", "query-api"]:
        given |= set(compose()["services"][name]["environment"])
    assert given and given <= read, given - read


def test_every_command_line_is_understood():
    """Each container's arguments, followed by a --help, so that nothing starts."""
    commands = [compose()["services"][name]["command"] for name in ["migrate", "ingest", "projector", "query-api"]]
    for manifest in manifests("production"):
        if manifest["kind"] in ("Deployment", "Job"):
            commands += [container["args"] for container in manifest["spec"]["template"]["spec"]["containers"]]
    for program, *arguments in commands:
        tools.run(binary(program), *arguments, "--help")


def test_compose_has_the_users_that_the_local_stack_runs_with():
    service = compose()["services"]["clickhouse"]
    mounted = {volume["target"]: volume["source"] for volume in service["volumes"]}
    file = pathlib.Path(mounted["/etc/clickhouse-server/users.d/eye.xml"])
    assert file.relative_to(tools.ROOT) == pathlib.Path("infra/clickhouse-users.xml")
    for variable in re.findall(r'from_env="(\w+)"', file.read_text()):
        assert variable in service["environment"]
    services = compose()["services"]
    users = {name: services[name]["environment"].get("EYE_CLICKHOUSE_USER") for name in ["projector", "query-api", "ingest"]}
    assert users == {"projector": "writer", "query-api": "reader", "ingest": None}
    assert "EYE_CLICKHOUSE_PASSWORD" not in services["ingest"]["environment"]


def test_files_that_services_follow_are_mounted_as_folders():
    """Folders are mounted, because a container keeps the old file when another is renamed into its place."""
    for name in ["migrate", "ingest", "projector", "query-api"]:
        service = compose()["services"][name]
        targets = [volume["target"] for volume in service["volumes"]]
        assert str(pathlib.PurePath(service["environment"]["EYE_APPS"]).parent) in targets, name
        assert service["environment"]["EYE_EVENT_TYPES"] in targets, name


def test_kubernetes_waits_as_long_as_a_volume_may_be_swapped_late():
    settings = next(m for m in manifests("production") if m["kind"] == "ConfigMap" and "EYE_APPS" in m.get("data", {}))
    assert int(settings["data"]["EYE_REGISTRY_WAIT"]) >= 180


def test_mounted_paths_exist():
    for name, service in compose()["services"].items():
        for volume in service.get("volumes", []):
            source = pathlib.Path(volume["source"])
            if volume["type"] == "bind" and source.is_relative_to(tools.ROOT):
                assert source.exists(), f"{name}: {source}"
