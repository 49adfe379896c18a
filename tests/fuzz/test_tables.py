"""What an operator writes and what is exported: tables of the configuration, spreadsheets."""

from __future__ import annotations

import csv
import io
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.cli.pages import usage_text
from bot.config import Config, to_config
from bot.errors import ConfigError
from bot.overview import UsageRow
from bot.refs import Micros
from bot.tables import nearest
from bot.words import cell
from tests.fuzz import fuzz
from tests.fuzz.mutations import bounded, spoilt, texts

EXAMPLE = tomllib.loads(Path("config.example.toml").read_text("utf-8"))
TABLES: dict[str, Any] = {
    "bot": {"data_dir": "/tmp/x", "public_port": 0, "trusted_proxies": ["127.0.0.1"]},
    "access": {"servers": ["1"], "workspaces": ["T1"]},
    "operator": {"discord_user": "7", "slack_user": "T1/U1"},
    "limits": {"timezone": "UTC", "usd_per_person_per_day": 1, "roles": [{"role": "1"}]},
    "moderation": {"blocked_words": ["x"], "blocked_patterns": ["a+"], "hook_url": "https://a.b"},
    "providers": {"luma": {"api_key": "k", "prices": {"ray-2": 1}}},
    "adapters": {"terminal": {}},
}
#: What a spreadsheet takes for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


@fuzz
@given(spoilt(TABLES, EXAMPLE))
def test_a_configuration_is_read_or_its_key_is_named(tables: Any) -> None:
    if isinstance(tables, dict) and all(isinstance(key, str) for key in tables):
        with bounded():
            assert isinstance(to_config(tables), Config)


@fuzz
@given(texts, st.lists(texts, max_size=5))
def test_the_nearest_name_is_found(name: str, known: list[str]) -> None:
    with bounded():
        nearest(name, known)


@fuzz
@given(st.lists(texts, min_size=1, max_size=4))
def test_no_cell_of_an_export_is_a_formula(labels: list[str]) -> None:
    rows = [
        UsageRow(
            label=label, asked=1, delivered=1, refused=0, failed=0, seconds=5.0, charged=Micros(1)
        )
        for label in labels
    ]
    text = usage_text(rows, by="person", form="csv")
    text.encode("utf-8", "replace")
    read = list(csv.reader(io.StringIO(text, newline="")))
    assert len(read) == 1 + len(rows)
    for line in read[1:]:
        assert len(line) == len(read[0])
        assert not line[0].startswith(FORMULA), line
    for label in labels:
        assert not cell(label, limit=40).startswith(FORMULA)
    usage_text(rows, by="person", form="json")
    usage_text(rows, by="person", form="table")


def test_the_example_is_one() -> None:
    with pytest.raises(ConfigError):
        to_config({**EXAMPLE, "botx": {}})
