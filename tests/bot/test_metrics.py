from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from bot.metrics import Metrics
from bot.wiring.reception import READY_WITHIN

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAPER = (DOCS / "operations.md").read_text("utf-8")
CONFIGS = re.findall(r"(?s)```yaml\n(scrape_configs:.*?)```", PAPER)
RULES = [
    rule
    for block in re.findall(r"(?s)```yaml\n(groups:.*?)```", PAPER)
    for group in yaml.safe_load(block)["groups"]
    for rule in group["rules"]
]
PANELS = json.loads((DOCS / "grafana.json").read_text("utf-8"))["panels"]
QUESTIONS = {
    **{rule["alert"]: rule["expr"] for rule in RULES},
    **{
        f"{panel['title']} {target['refId']}": target["expr"].replace("$__rate_interval", "5m")
        for panel in PANELS
        for target in panel["targets"]
    },
}


def test_the_page_is_readable_by_prometheus_and_all_names_are_ours() -> None:
    metrics = Metrics()
    metrics.jobs.labels("generating").set(3)
    metrics.callbacks.labels("luma", "known").inc()
    families = {each.name: each for each in text_string_to_metric_families(page(metrics))}
    assert {name.split("_")[0] for name in families} == {"raybot", "process"}
    assert families["raybot_jobs"].samples[0].value == 3
    assert families["raybot_jobs"].samples[0].labels == {"state": "generating"}


def page(metrics: Metrics) -> str:
    return metrics.render().decode()


def test_requests_are_counted_by_provider_method_and_outcome() -> None:
    metrics = Metrics()
    observe = metrics.request_observer("luma")
    observe("GET", "2xx", 0.1)
    observe("GET", "2xx", 0.2)
    observe("POST", "error", 5.0)
    text = page(metrics)
    counted = 'raybot_provider_requests_total{method="GET",outcome="2xx",provider="luma"} 2.0'
    assert counted in text
    assert 'raybot_provider_request_seconds_count{method="POST",provider="luma"} 1.0' in text


def test_two_of_them_live_in_one_process() -> None:
    first, second = Metrics(), Metrics()
    first.held_usd.set(7)
    assert "raybot_held_usd 7.0" in page(first)
    assert "raybot_held_usd 0.0" in page(second)


def test_no_label_names_a_person_a_place_or_a_job() -> None:
    metrics = Metrics()
    instruments = [each for each in vars(metrics).values() if hasattr(each, "_labelnames")]
    labels = {label for each in instruments for label in each._labelnames}
    assert len(instruments) > 8
    assert labels <= {
        *("state", "provider", "model", "outcome", "method", "kind", "other", "part", "chat"),
    }


def test_importing_it_loads_no_prometheus() -> None:
    code = "import bot.metrics, sys; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS.keys())
def test_what_alarms_and_the_dashboard_ask_can_be_answered(question: str) -> None:
    promql_parser.parse(question)
    families = [each.name for each in Metrics().registry.collect()]
    parts = ("", "_bucket", "_count", "_sum", "_total")
    known = {f"{name}{part}" for name in families for part in parts}
    asked = set(re.findall(r"raybot_\w+", question.replace('job="raybot"', "")))
    assert asked
    assert asked - known == set()


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS.keys())
def test_what_several_processes_say_of_the_same_is_asked_once(question: str) -> None:
    """A gauge is the same in all of them, but for those of the process itself; counts add up."""
    families = {each.name: each.type for each in Metrics().registry.collect()}
    for before, name in re.findall(r"(?:(\w+)(?: by \([\w, ]+\))? ?\()?(raybot_\w+)", question):
        if name in {"raybot_ready", "raybot_disk_free_bytes"} or 'job="raybot"' in question:
            continue
        kind = families.get(name)
        assert before == "max" if kind == "gauge" else before in {"rate", "increase"}
        assert kind == "gauge" or question.count("sum by (") == question.count(f"{before}(")


def test_the_alarms_look_for_the_name_under_which_prometheus_is_told_to_ask() -> None:
    [scraped] = [each for text in CONFIGS for each in yaml.safe_load(text)["scrape_configs"]]
    named = set(re.findall(r'job="(\w+)"', " ".join(QUESTIONS.values())))
    assert named == {scraped["job_name"]}
    # A look at a dead database takes five seconds.
    assert int(scraped["scrape_timeout"].removesuffix("s")) > READY_WITHIN
