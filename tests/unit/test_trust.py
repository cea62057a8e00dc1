"""How far automation may go: every member of an incident is asked, and a newer rule may only tighten."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from responder.decide.case import Case
from responder.engine.settings import EngineSettings
from responder.engine.trust import Trust
from responder.model.autonomy import Autonomy, Ceiling, effective
from responder.model.incident import MemberAlert, Members
from responder.model.rule import Limits
from responder.model.way import Way, WayKind
from responder.rulebook.matchers import parse_matchers
from tests.support.virtual import VirtualStore, World, incident, ladder, lease_of, member

SETTINGS = EngineSettings.model_validate(
    {
        "ceiling": "auto",
        "ceilings": [{"match": 'env="prod"', "is": "shadow"}, {"match": 'env="test"', "is": "approve"}],
    }
)
WEB = {"web": Ceiling(level=Autonomy.SHADOW, origin="the source web has no token")}


def a_case(sample: list[MemberAlert], total: int | None = None, **changed: Any) -> Case:
    """An incident with these members in its sample, of `total` in all."""
    count = len(sample) if total is None else total
    sources = tuple(sorted({each.source for each in sample}))
    members = Members(firing=count, total=count, sample=tuple(sample), sources=sources)
    store = VirtualStore(World(), ladder(), incident(), members)
    return asyncio.run(store.load(lease_of(store))).model_copy(update=changed)


def least(case: Case) -> Ceiling:
    """What applies to its first step."""
    return effective(Trust(SETTINGS, WEB).ceilings(case, case.rule.every_step[0]))


@pytest.mark.parametrize(
    ("sample", "total", "level"),
    [
        ([member(env="dev")], 1, Autonomy.AUTO),
        ([member(env="test")], 1, Autonomy.APPROVE),
        ([member(env="dev"), member(env="prod")], 2, Autonomy.SHADOW),
        ([member(env="dev")], 21, Autonomy.SHADOW),
        ([member(env="dev"), member("web", env="dev")], 2, Autonomy.SHADOW),
    ],
    ids=["none matches", "one matches", "one of two members", "members that are not seen", "a capped source"],
)
def test_the_strictest_member_decides(sample: list[MemberAlert], total: int, level: Autonomy) -> None:
    """A ceiling for one member is a ceiling for all; an unseen member may be what any ceiling is about."""
    assert least(a_case(sample, total)).level is level


def test_what_a_rule_may_reach_is_told_before_its_alerts_are_known() -> None:
    """Every ceiling that its matchers leave open, and the general one where none is certain."""
    trust = Trust(SETTINGS, {})
    anywhere = trust.possible(ladder())
    assert [one.level for one in anywhere] == [Autonomy.SHADOW, Autonomy.APPROVE, Autonomy.AUTO]
    in_test = ladder().model_copy(update={"match": parse_matchers('env="test"')})
    assert [one.level for one in trust.possible(in_test)] == [Autonomy.APPROVE]


def test_a_newer_rule_may_tighten_what_is_under_way() -> None:
    """Autonomy and limits are the lesser of pinned and current; a rule that is gone observes, by its own."""
    pinned = ladder()
    careful = pinned.model_copy(
        update={"steps": (pinned.steps[0].model_copy(update={"autonomy": Autonomy.APPROVE}),)}
    )
    assert least(a_case([member()], current=careful)).origin == "the step as it is now"
    assert least(a_case([member()], current=None)).level is Autonomy.OBSERVE
    loose = Limits(attempts=99, per=timedelta(minutes=1), cooldown=timedelta(hours=1))
    case = a_case([member()], current=pinned.model_copy(update={"limits": loose}))
    assert case.limits == Limits(attempts=10, per=timedelta(hours=1), cooldown=timedelta(hours=1))
    assert a_case([member()], current=None).limits == pinned.limits


def test_a_persons_word_stands_above_the_settings() -> None:
    """A rule that the settings promote and a person demoted observes."""
    case = a_case([member()])
    settings = SETTINGS.model_copy(update={"promoted": (case.rule.acting_hash,)})
    trust = Trust(settings, {})
    for said, level in (({}, Autonomy.AUTO), ({case.rule.acting_hash: Autonomy.OBSERVE}, Autonomy.OBSERVE)):
        told = case.model_copy(update={"promotions": said})
        assert effective(trust.ceilings(told, case.rule.every_step[0])).level is level


def ways(case: Case) -> set[Way | None]:
    """How the ceilings are raised that apply to its first step."""
    ceilings = Trust(SETTINGS, {}).ceilings(case, case.rule.every_step[0])
    return {one.way for one in ceilings if one.level is effective(ceilings).level}


def test_a_rule_is_to_be_promoted_only_where_that_is_the_version_that_acts() -> None:
    """The command promotes the rule as it is now: for an incident of an older version it changes nothing."""
    pinned = ladder()
    once = Limits(attempts=1, per=timedelta(hours=1), cooldown=timedelta(0))
    newer = pinned.model_copy(update={"limits": once})
    nobody = a_case([member()], current=pinned, promotions={})
    promote = Way(kind=WayKind.PROMOTE, of=pinned.name)
    assert ways(nobody) == {promote}
    said = {pinned.acting_hash: Autonomy.SHADOW}
    assert ways(nobody.model_copy(update={"promotions": said})) == {promote}
    for promotions in ({}, {newer.acting_hash: Autonomy.AUTO}, {newer.acting_hash: Autonomy.SHADOW}, said):
        assert ways(a_case([member()], current=newer, promotions=promotions)) == {None}
    demoted = {pinned.acting_hash: Autonomy.AUTO, newer.acting_hash: Autonomy.SHADOW}
    assert ways(a_case([member()], current=newer, promotions=demoted)) == {promote}
    gone = a_case([member()], current=None, promotions={})
    assert ways(gone) == {None}


def test_a_rule_that_caps_itself_is_to_be_edited() -> None:
    """To promote it alone changes nothing; where the incident goes by an older version, neither does."""
    careful = ladder().model_copy(update={"autonomy": Autonomy.SHADOW})
    edit, promote = (Way(kind=kind, of=careful.name) for kind in (WayKind.EDIT_RULE, WayKind.PROMOTE))
    case = a_case([member()], rule=careful, current=careful, promotions={})
    assert ways(case) == {edit, promote}
    assert ways(case.model_copy(update={"promotions": {careful.acting_hash: Autonomy.AUTO}})) == {edit}
    assert ways(case.model_copy(update={"current": ladder()})) == {None}
    acts = ladder()
    tightened = a_case([member()], current=careful, promotions={acts.acting_hash: Autonomy.AUTO})
    assert ways(tightened) == {edit}


def test_who_demotes_a_rule_as_it_is_now_demotes_what_goes_by_an_older_version_of_it() -> None:
    """A person names the rule, not a version; a version of which nobody has said anything changes nothing."""
    pinned = ladder()
    once = Limits(attempts=1, per=timedelta(hours=1), cooldown=timedelta(0))
    newer = pinned.model_copy(update={"limits": once})
    promoted = {pinned.acting_hash: Autonomy.AUTO}
    case, trust = a_case([member()], current=newer, promotions=promoted), Trust(SETTINGS, {})
    assert effective(trust.ceilings(case, case.rule.every_step[0])).level is Autonomy.AUTO
    case = case.model_copy(update={"promotions": {**promoted, newer.acting_hash: Autonomy.OBSERVE}})
    assert effective(trust.ceilings(case, case.rule.every_step[0])).level is Autonomy.OBSERVE
