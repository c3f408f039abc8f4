"""
Conditions of routes as values.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.match import Condition, HostPattern, Match, PathPattern

FULL = Match(
    paths=(PathPattern("prefix", b"/a"),),
    excluded=(PathPattern("exact", b"/a/b"),),
    hosts=(HostPattern("suffix", b".a.com", without_port=True),),
    headers=((b"x-a", b"1"),),
    user_agents=(b"curl",),
    local_port=80,
    conditions=(Condition("method", ("GET",)),),
)


class MatchTests(SynchronousTestCase):
    """
    `Match` and its parts.
    """

    def test_nothing_asked(self) -> None:
        """
        A route that says nothing asks nothing.
        """
        self.assertFalse(any(getattr(Match(), field.name) for field in fields(Match)))
        pattern = PathPattern("prefix", b"/")
        self.assertFalse(pattern.ignore_case or pattern.whole_target)

    def test_every_part_counts(self) -> None:
        """
        Two matches are the same only if each condition is: a change of any part of a service is a change.
        """
        self.assertEqual((FULL, hash(FULL)), (replace(FULL), hash(replace(FULL))))
        for field in fields(Match):
            other = replace(FULL, **{field.name: type(getattr(FULL, field.name))()})
            self.assertNotEqual(other, FULL, field.name)

    def test_frozen(self) -> None:
        """
        Nobody changes it in the hands of another.
        """
        with self.assertRaises(FrozenInstanceError):
            FULL.local_port = 81  # type: ignore[misc]  # what must not work
