"""Checks alert rules and dashboards by Prometheus' own tool and against the metrics of a running pipeline."""

import json
import re
import subprocess

import pytest
import tools
import yaml
from pipeline import eventually, metrics

PROMETHEUS = tools.ROOT / "infra" / "prometheus"
RULES = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
TESTS = sorted(PROMETHEUS.glob("*_test.yml"))
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in (tools.ROOT / "infra/grafana/dashboards").glob("*.json")}


def promtool(*arguments):
    return tools.run(tools.prometheus() / "promtool", *arguments)


def expressions():
    """(place, PromQL) of every rule and every panel, with values for Grafana's variables."""
    for name, rule in ALERTS.items():
        yield name, rule["expr"]
    for name, dashboard in DASHBOARDS.items():
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                yield f"{name}: {panel['title']}", target["expr"].replace("$__rate_interval", "1m")


def test_prometheus_takes_configuration_and_rules():
    promtool("check", "config", PROMETHEUS / "prometheus.yml")


def test_the_rules_fire_when_they_must_and_only_then():
    promtool("test", "rules", *TESTS)


def test_each_alert_has_been_seen_firing_and_quiet():
    tests = [test for file in TESTS for test in yaml.safe_load(file.read_text())["tests"]]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == set(ALERTS)
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == set(ALERTS)


def test_a_rule_that_never_fires_would_be_found(tmp_path):
    blunt = (PROMETHEUS / "rules.yml").read_text().replace("eye_projector_audit_faults) > 0", "eye_projector_audit_faults) > 9")
    (tmp_path / "rules.yml").write_text(blunt)
    (tmp_path / "rules_test.yml").write_text((PROMETHEUS / "rules_test.yml").read_text())
    done = subprocess.run(
        [tools.prometheus() / "promtool", "test", "rules", tmp_path / "rules_test.yml"], capture_output=True, text=True
    )
    assert done.returncode != 0 and "EyeAuditNotClean" in done.stdout + done.stderr


def test_each_alert_says_what_to_do():
    """The annotation points to a heading of the runbook."""
    headings = {
        heading.lower() for heading in re.findall(r"^#+ (\S+)$", (tools.ROOT / "docs/operations.md").read_text(), re.M)
    }
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("page", "ticket"), name
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"
        assert name.lower() in headings, f"docs/operations.md has no section {name}"


def test_every_expression_of_a_dashboard_is_promql(tmp_path):
    records = [{"record": f"check:{number}", "expr": expression} for number, (_, expression) in enumerate(expressions())]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "check", "rules": records}]}))
    promtool("check", "rules", tmp_path / "rules.yml")


@pytest.fixture(scope="module")
def there():
    """The labels of each metric, once the projector has its partitions, because series come and go with partitions."""
    eventually("the projector has partitions", lambda: "partition" in metrics().get("eye_projector_lag_milliseconds", ()))
    found = metrics()
    # This pipeline has no folder of event types, so no service shows a version of one.
    loaded = [name for name in found if name.endswith("_event_types_loaded")]
    return found | {name.replace("_loaded", "_version"): {"sha256"} for name in loaded}


def test_rules_and_dashboards_use_metrics_that_exist(there):
    for where, expression in expressions():
        names = re.findall(r"\beye_\w+", expression)
        assert names or re.search(r"\b(up|node_\w+)\b", expression), where
        for name in names:
            assert base(name) in there, f"{where}: no service has {name}"
        for name, matchers in re.findall(r"\b(eye_\w+)\{([^}]*)\}", expression):
            used = set(re.findall(r"(\w+)\s*[=!]~?", matchers))
            assert used <= there[base(name)], f"{where}: {name} has no label {used - there[base(name)]}"


def base(name):
    return re.sub(r"_(bucket|sum|count)$", "", name)


def test_every_metric_is_in_the_documentation(there):
    """docs/operations.md names each metric with the question that it answers, and no metric that does not exist."""
    documented = set(re.findall(r"`(eye_(?:ingest|projector|query)_\w+)", (tools.ROOT / "docs/operations.md").read_text()))
    shown = {name for name in there if name.startswith("eye_")}
    assert shown == {base(name) if base(name) in there else name for name in documented}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_dashboards_can_be_read(name):
    dashboard = DASHBOARDS[name]
    assert len({d["uid"] for d in DASHBOARDS.values()}) == len(DASHBOARDS)
    taken = set()
    for panel in dashboard["panels"]:
        assert panel["description"].strip(), f"{panel['title']}: which question does it answer?"
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24 and not cells & taken, f"{panel['title']} lies on another panel"
        taken |= cells
    sources = yaml.safe_load((tools.ROOT / "infra/grafana/provisioning/datasources/prometheus.yaml").read_text())
    known = {source["uid"] for source in sources["datasources"]}
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} <= known
