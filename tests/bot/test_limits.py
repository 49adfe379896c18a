"""Of several words about a limit one holds: the nearest for a person, the lowest for a place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import quota
from bot.errors import InvalidRequest, NotAllowed
from bot.limits import BY_KEY, LIMITS, Rules, in_force, settable, to_settings
from bot.request import VideoWork
from bot.tables import LimitsTable
from tests.fakes import to_requester

NOTHING = Rules(place={}, channel={})
PERSON = "clips_per_person_per_day"


def held(
    key: str = PERSON,
    *,
    house: dict[str, Any] | None = None,
    place: dict[str, str] | None = None,
    channel: dict[str, str] | None = None,
    roles: tuple[str, ...] = (),
) -> Any:
    requester = to_requester().model_copy(update={"roles": roles})
    limits = LimitsTable.model_validate(house or {})
    rules = Rules(place=place or {}, channel=channel or {})
    return getattr(in_force(limits, requester, rules), key)


def test_every_limit_has_its_key_in_the_configuration_and_names_of_its_own() -> None:
    assert set(BY_KEY) <= set(LimitsTable.model_fields)
    assert all(key == limit.key for key, limit in BY_KEY.items())
    assert len({limit.title for limit in BY_KEY.values()}) == len(BY_KEY)
    counted = {key for key in LimitsTable.model_fields if "_per_" in key}
    assert counted == set(BY_KEY)


def test_the_nearest_word_holds_for_a_person() -> None:
    house = {PERSON: 5, "roles": [{"role": "vip", PERSON: 9}]}
    place = {f"limit.{PERSON}": "7", f"role.vip.{PERSON}": "8"}
    channel = {f"limit.{PERSON}": "2", f"role.vip.{PERSON}": "3"}
    assert held(house=house) == 5
    assert held(house=house, roles=("vip",)) == 9
    assert held(house=house, place={f"limit.{PERSON}": "7"}, roles=("vip",)) == 7
    assert held(house=house, place=place) == 7
    assert held(house=house, place=place, roles=("vip",)) == 8
    assert held(house=house, place=place, channel=channel) == 2
    assert held(house=house, place=place, channel=channel, roles=("vip",)) == 3


def test_of_several_roles_the_most_generous_holds() -> None:
    roles = [{"role": "a", PERSON: 9}, {"role": 7, PERSON: 20}, {"role": "c"}]
    house = {PERSON: 50, "roles": roles}
    assert held(house=house, roles=("a", "7", "c")) == 20
    assert held(house=house, roles=("c",)) == 50
    place = {f"role.a.{PERSON}": "3", f"role.7.{PERSON}": "1"}
    assert held(house=house, place=place, roles=("7", "a", "z")) == 3


def test_a_role_of_another_chat_is_another_role() -> None:
    house = {PERSON: 5, "roles": [{"role": "a", "adapter": "slack", PERSON: 9}]}
    assert held(house=house, roles=("a",)) == 5


CEILINGS = sorted(limit.key for limit in LIMITS if not limit.is_own)
AMOUNTS = st.none() | st.integers(1, 9)


@given(key=st.sampled_from(CEILINGS), house=AMOUNTS, place=AMOUNTS, channel=AMOUNTS)
def test_nothing_said_in_chat_gives_a_place_more_than_its_operator_did(
    key: str, house: int | None, place: int | None, channel: int | None
) -> None:
    said = [{f"limit.{key}": str(each)} if each is not None else None for each in (place, channel)]
    got = held(key, house={key: house}, place=said[0], channel=said[1], roles=("x",))
    assert house is None or got <= house
    told = channel if channel is not None else place
    if told is not None:
        assert got <= told
    else:
        assert got == house


def test_roles_may_use_more_and_places_allow_less() -> None:
    house = {
        "models": ["ray-2", "ray-flash-2"],
        "resolutions": ["540p", "720p"],
        "roles": [{"role": "vip", "resolutions": ["4k"]}, {"role": "x", "resolutions": "1080p"}],
    }
    assert held("resolutions", house=house, roles=("vip", "x")) == ("4k", "1080p")
    place = {"limit.resolutions": "540p,4k", "limit.models": "ray-2,other"}
    assert held("resolutions", house=house, place=place) == ("540p",)
    assert held("resolutions", house=house, place=place, roles=("vip",)) == ("4k",)
    assert held("models", house=house, place=place) == ("ray-2",)
    assert held("models", place=place) == ("ray-2", "other")
    channel = {"role.vip.models": "ray-flash-2", "limit.models": "other"}
    assert held("models", house=house, place=place, channel=channel) == ("no model",)
    assert held("models", house=house, channel=channel, roles=("vip",)) == ("ray-flash-2",)


def test_what_may_not_be_used_is_named() -> None:
    limits = LimitsTable.model_validate({"models": ["ray-2"], "resolutions": []})
    with pytest.raises(NotAllowed, match="Here you can use ray-2"):
        quota.check_work(limits, VideoWork(model="ray-9"))
    with pytest.raises(NotAllowed, match="540p is off here, and so is every other size of ray-2"):
        quota.check_work(limits, VideoWork(model="ray-2"))


def test_where_nothing_is_said_the_house_speaks() -> None:
    house = LimitsTable.model_validate({})
    assert in_force(house, to_requester(), NOTHING) is house


# ---- what may be set in chat -------------------------------------------------------------------


def put(
    name: str, value: str, *, channel: str = "", role: str = "", **house: Any
) -> dict[str, str]:
    limits = LimitsTable.model_validate(house)
    return to_settings({name: value}, limits, channel=channel, role=role, models=("ray-2",))


def test_what_is_set_is_written_as_it_is_read() -> None:
    assert put("usd_per_person_per_day", " $2.50 ") == {"limit.usd_per_person_per_day": "2.5"}
    assert put("usd_per_tenant_per_month", "0") == {"limit.usd_per_tenant_per_month": "0"}
    assert put(PERSON, "20", role="12") == {f"role.12.{PERSON}": "20"}
    assert put(PERSON, "", channel="7") == {f"limit.{PERSON}": ""}
    assert put("resolutions", "540p, 4k,540p") == {"limit.resolutions": "540p,4k"}
    written = put("usd_per_person_per_day", "1000000")["limit.usd_per_person_per_day"]
    assert held("usd_per_person_per_day", place={"limit.usd_per_person_per_day": written}) == 1e6


@pytest.mark.parametrize(
    ("name", "value", "where", "sentence"),
    [
        ("clips_per_person", "1", {}, r"no limit 'clips_per_person'. Did you mean 'clips_per_pe"),
        ("zzz", "1", {"role": "1"}, r"no limit 'zzz'. There are running_per_person, "),
        ("usd_total_per_month", "1", {}, "usd_total_per_month cannot be set in chat"),
        ("usd_per_tenant_per_day", "1", {"channel": "1"}, "cannot be set for a channel"),
        ("usd_per_channel_per_day", "1", {"role": "1"}, "cannot be set for a role"),
        (PERSON, "1", {"role": "a.b"}, "Name the role by its id"),
        (PERSON, "1.5", {}, "'1.5' is no limit. Give a whole number from 0 on"),
        ("running_per_person", "0", {}, "a whole number from 1 on"),
        ("usd_per_person_per_day", "nan", {}, r"Give dollars, such as 2\.50"),
        ("usd_per_person_per_day", "-1", {}, "is no limit"),
        ("usd_per_person_per_day", "1e99", {}, "is no limit"),
        ("usd_per_tenant_per_month", "20.01", {}, r"can be at most \$20\.00 here"),
        ("resolutions", "540", {}, r"'540' is not known. Did you mean '540p'"),
        ("models", "ray-9", {}, r"'ray-9' is not known. Did you mean 'ray-2'"),
    ],
)
def test_what_cannot_be_set_is_refused_with_what_can(
    name: str, value: str, where: dict[str, str], sentence: str
) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        put(name, value, **where, usd_per_tenant_per_month=20)


def test_what_can_be_set_where() -> None:
    of_role, of_channel = settable(channel="1", role="2"), settable(channel="1", role="")
    assert set(of_role) < set(of_channel) < set(settable(channel="", role=""))
