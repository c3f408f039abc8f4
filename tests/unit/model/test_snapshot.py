"""
What is in force, as values.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.model.snapshot import Change, Revision, ServerAddress, Snapshot, server_names


class ServerNamesTests(SynchronousTestCase):
    """
    How servers are called in statistics, metrics and the access log.
    """

    def test_alone(self) -> None:
        """
        A lone server has the name of its service.
        """
        self.assertEqual(server_names("web", [ServerAddress("10.0.0.1", 80, place=3)]), ["web"])
        self.assertEqual(server_names("web", []), [])

    def test_several(self) -> None:
        """
        Several are numbered: by the place that each keeps while it is there, else by where it stands.
        """
        hosts = ("10.0.0.1", "10.0.0.2", "10.0.0.3")
        fixed = [ServerAddress(host, 80) for host in hosts]
        self.assertEqual(server_names("web", fixed), ["web_0", "web_1", "web_2"])
        kept = [ServerAddress(host, 80, place=place) for host, place in zip(hosts, (4, 0, 2))]
        self.assertEqual(server_names("web", kept), ["web_4", "web_0", "web_2"])
        self.assertEqual(server_names("web", kept[1:]), ["web_0", "web_2"])


class SnapshotTests(SynchronousTestCase):
    """
    Where it begins.
    """

    def test_nothing_yet(self) -> None:
        """
        Before the first change nothing is in force, and a change that says nothing changes nothing.
        """
        begin = Snapshot()
        self.assertEqual((begin.revision, dict(begin.services), dict(begin.certificates)), (Revision(), {}, {}))
        self.assertEqual(begin.revision.number, 0)
        change = Change(Revision(1, "0" * 32))
        self.assertFalse(change.services or change.removed or change.memberships or change.whole)
