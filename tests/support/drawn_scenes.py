"""Whole tests of rules drawn by a seed: alerts, effects, what the source says, people, restraints."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from responder.model.incident import CommandKind
from responder.model.matcher import Matcher, MatchOp
from responder.model.restraint import RestraintKind
from responder.rehearsal.scene import Scene
from responder.rehearsal.script import (
    AlertSeries,
    Effect,
    FakedAction,
    PersonDoes,
    Restrains,
    SourceSays,
    SourceWord,
    Span,
)

_END = timedelta(minutes=20)
_RULES = ("Stuck", "Beside", "Asked", "Climbing", "Often", "Told")
RISING = ("Rising", "Waits", "Cause", "Effect", "Further", "Passed", "Once")
"""What is called so is taken by the rules of rising.yaml: several may take, or explain, the same."""
LADDERS = ("Again", "Both", "BothAsked", "BothAgain", "Lent")
"""Rules of ladders.yaml, whose steps are more than one act."""
_WORDS = (CommandKind.APPROVE, CommandKind.ACKNOWLEDGE, CommandKind.TAKE_OVER, CommandKind.HAND_BACK)
_ACTIONS = ("postgres.cancel_queries", "postgres.terminate_queries")
_SILENCES = ("alertmanager.silence", "alertmanager.expire_silence")
_SCOPES: tuple[tuple[Matcher, ...], ...] = ((), (Matcher(name="db", op=MatchOp.EQUAL, value="x"),))
_ALSO_FAILS = (*[Effect.DONE] * 3, Effect.NOT_DONE, Effect.NOT_DONE, Effect.UNKNOWN)
_EFFECTS = (*[Effect.DONE] * 5, Effect.NOT_DONE, Effect.UNKNOWN)


def drawn(base: Scene, seed: int, rules: Sequence[str] = _RULES, end: timedelta = _END) -> Scene:
    """The scene with a world of its own; the same for the same seed. The rules are those of guards.yaml."""
    rnd = random.Random(seed)  # noqa: S311 - to be the same each time
    most = 8 if rules is LADDERS else 5
    alerts = {str(one.labels): one for one in (_alert(rnd, rules) for _ in range(rnd.randint(2, most)))}
    test = replace(
        base.test,
        alerts=tuple(alerts.values()),
        actions=tuple(_action(rnd, base, names) for names in _acting(rnd, rules)),
        source=tuple(
            SourceSays(_span(rnd), rnd.choice(list(SourceWord)), rnd.choice(_SCOPES), "so")
            for _ in range(rnd.randint(0, 2))
        ),
        people=tuple(
            PersonDoes(
                base.test.position,
                _seconds(rnd, 1200),
                rnd.choice(_WORDS),
                "ada",
                "so",
                rule=None,
                severity=None,
            )
            for _ in range(rnd.randint(0, 3))
        ),
        restraints=tuple(
            Restrains(
                _span(rnd, ends=True), rnd.choice(list(RestraintKind)), rnd.choice(_SCOPES), "ada", "so"
            )
            for _ in range(rnd.randint(0, 2))
        ),
        expect=(replace(base.test.expect[-1], at=end),),
    )
    return replace(base, test=test)


def _acting(rnd: random.Random, rules: Sequence[str]) -> list[Sequence[str]]:
    """What each told action may be; of ladders all that they have, for else most stop at their first look."""
    some: list[Sequence[str]] = [_ACTIONS] * rnd.randint(1, 4)
    return [*([one] for one in (*_ACTIONS, *_SILENCES)), *some, _SILENCES] if rules is LADDERS else some


def _alert(rnd: random.Random, rules: Sequence[str]) -> AlertSeries:
    labels = {
        "alertname": rnd.choice(rules),
        **({"tier": "db"} if rules is RISING else {}),
        "server": rnd.choice("aab"),
        "db": rnd.choice("xyz"),
        "severity": rnd.choice(["warning", "critical"]),
    }
    return AlertSeries(labels, {}, (_span(rnd),))


def _action(rnd: random.Random, base: Scene, names: Sequence[str]) -> FakedAction:
    return FakedAction(
        position=base.test.position,
        action=rnd.choice(names),
        since=rnd.choice([timedelta(0), timedelta(0), _seconds(rnd, 900)]),
        finds=rnd.choice([("pid 1",), ("pid 1",), ()]),
        away=rnd.choice([None, None, None, "it does not answer"]),
        run=rnd.choice(_EFFECTS if len(names) > 1 else _ALSO_FAILS),
    )


def _span(rnd: random.Random, *, ends: bool = False) -> Span:
    since = _seconds(rnd, 900)
    endless = not ends and rnd.random() < 0.4
    return Span(since, None if endless else since + timedelta(seconds=rnd.randint(1, 600)))


def _seconds(rnd: random.Random, most: int) -> timedelta:
    return timedelta(seconds=rnd.randint(0, most))
