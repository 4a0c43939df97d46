"""The samples for Grafana and Prometheus: they can be read, and ask for nothing that /metrics does not say."""
import json
import re
import shutil
import subprocess
import urllib.request

import pytest
import yaml
from harness import DEADLINE, ROOT, listen, pool

DASHBOARD, RULES = ROOT / "etc/grafana/ccserver.json", ROOT / "etc/prometheus/ccserver.rules.yml"


def dashboard_targets():
    return [target for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel["targets"]]


def rules():
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    assert group["name"] == "ccserver"
    return group["rules"]


def expressions():
    return [target["expr"] for target in dashboard_targets()] + [rule["expr"] for rule in rules()]


@pytest.fixture
def metrics(serve, upstream):
    """{name: {label: values}} of a server with a pool, and with a listener that has an upstream, which has answered."""
    target = upstream()
    server = serve(listen("proxy", upstream=target.address), listen("status", pool="admin"), pool("admin"))
    client = server.connect("proxy")
    client.send(b"question")
    with target.accept() as far:
        far.expect(b"question")
        far.send(b"answer")
        client.expect(b"answer")
    server.await_stats(lambda stats: sum(server.pick(stats, "proxy")["upstream_answered"]["counts"]) == 1)
    url = f"http://{server.addresses['status'][0]}/metrics"
    with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
        text = answer.read().decode()
    found = {}
    for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? ", text, re.M):
        known = found.setdefault(name, {})
        for label, value in re.findall(r'(\w+)="([^"]*)"', labels):
            known.setdefault(label, set()).add(value)
    return found


def test_every_metric_and_label_is_there(metrics):
    """Also each value that a rule names; `instance` and `job` are labels that Prometheus adds."""
    wanted = 0
    for expression in expressions():
        names = set(re.findall(r"\bccserver_\w+", expression))
        assert names or expression.startswith("up{"), expression
        for name in names:
            wanted += 1
            assert name in metrics, f"{name} of {expression}"
        for by in re.findall(r"\bby \(([^)]*)\)", expression):
            for label in set(by.split(", ")) - {"instance"}:
                assert all(label in metrics[name] for name in names), f"{label} of {expression}"
        for name, matchers in re.findall(r"\b(ccserver_\w+)\{([^}]*)\}", expression):
            for label, _, value in re.findall(r'(\w+)(=~|=)"([^"]*)"', matchers):
                if label != "instance":
                    assert set(value.split("|")) <= metrics[name][label], f"{label} of {expression}"
    assert wanted > 30


def test_what_a_legend_names_is_a_label(metrics):
    for target in dashboard_targets():
        (name,) = set(re.findall(r"\bccserver_\w+", target["expr"]))
        for label in set(re.findall(r"{{(\w+)}}", target["legendFormat"])) - {"instance"}:
            assert label in metrics[name], target


def test_the_dashboard_is_complete():
    """Each panel has a place of its own, a title, and the data source that is chosen above."""
    dashboard = json.loads(DASHBOARD.read_text())
    assert {each["name"] for each in dashboard["templating"]["list"]} == {"source", "instance"}
    taken, numbers = set(), set()
    for panel in dashboard["panels"]:
        assert panel["title"] and panel["type"] in ("stat", "timeseries") and panel["datasource"]["uid"] == "${source}"
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
        numbers.add(panel["id"])
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
    assert len(numbers) == len(dashboard["panels"])


def test_every_rule_says_what_is_wrong():
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found) > 8
    for rule in found:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"].startswith("{{ $labels.instance }}: ")
        kept = re.search(r"\bby \(([^)]*)\)", rule["expr"])
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            assert not kept or label in kept[1].split(", "), f"{rule['alert']}: {label} is summed away"


def test_prometheus_takes_the_rules():
    if not shutil.which("promtool"):
        pytest.skip("needs promtool: apt-get install prometheus")
    done = subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
