"""
The journal's bytes: written, cut, damaged, and read.
"""

from __future__ import annotations

import json

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.control.records import DAMAGES, VERSION, Line, Replayed, _line, base, lines_of, replay
from dfproxy.errors import JournalError
from dfproxy.model.checks import DRAIN, MAINT, Order, with_orders
from dfproxy.model.match import HostPattern, Match, PathPattern
from dfproxy.model.service import Balance, Destination, Endpoint, Service
from dfproxy.model.snapshot import Change, Hold, Revision

State = dict[str, Service]

names = st.sampled_from(["a", "b", "go-demo", "x" * 40, "ü€😀", 'quo"te\n'])
services = st.builds(
    Service,
    names,
    names,
    st.lists(
        st.builds(
            Destination,
            st.integers(0, 10),
            st.integers(1, 65535),
            st.builds(
                Match,
                st.lists(st.builds(PathPattern, st.just("prefix"), st.binary(max_size=9)), max_size=2).map(tuple),
                hosts=st.lists(st.builds(HostPattern, st.just("exact"), st.binary(max_size=9)), max_size=2).map(tuple),
            ),
            names,
            names,
            st.lists(st.builds(Endpoint, names, st.integers(1, 65535), st.integers(0, 256)), max_size=2).map(tuple),
            st.none() | st.floats(0, 1e6),
        ),
        min_size=1,
        max_size=2,
    ).map(tuple),
    st.builds(Balance, names, st.lists(names, max_size=2).map(tuple)),
    st.booleans(),
    st.lists(st.tuples(names, st.text(max_size=5)), max_size=3).map(tuple),
    st.sampled_from(["dfp", "environment", "docker", "file"]),
)
steps = st.lists(st.tuples(st.lists(services, max_size=3), st.lists(names, max_size=2)), max_size=6)


def plain(name: str, port: int = 80) -> Service:
    return Service(name, name, (Destination(0, port, Match(), "host", name),))


def written(
    script: list[tuple[list[Service], list[str]]], first: tuple[Service, ...] = (), number: int = 0
) -> tuple[bytes, list[State], list[int]]:
    """
    A file, what is in force after each change, and where each ends; the base is the first.
    """
    content = b"".join(base(first, number, "f" * 32, "me", 2))
    state = {service.name: service for service in first}
    states, ends = [dict(state)], [len(content)]
    for count, (published, removed) in enumerate(script, number + 1):
        brought = {service.name: service for service in published}
        gone = tuple(name for name in dict.fromkeys(removed) if name not in brought)
        content += lines_of(Change(Revision(count, f"{count:032x}"), tuple(brought.values()), gone))
        for name in gone:
            state.pop(name, None)
        state.update(brought)
        states.append(dict(state))
        ends.append(len(content))
    return content, states, ends


SCRIPT = [([plain("a")], []), ([plain("b"), plain("c")], ["a"]), ([], ["b"]), ([plain("a", 81)], []), ([], [])]


class WritingTests(SynchronousTestCase):
    """
    What stands in a file.
    """

    def test_lines(self) -> None:
        """
        Each line is one JSON object with version and checksum; any JSON tool can read it.
        """
        content, _, _ = written(SCRIPT)
        rows = [json.loads(line) for line in content.splitlines()]
        self.assertEqual([row["version"] for row in rows], [VERSION] * 8)
        self.assertEqual({len(row["check"]) for row in rows}, {16})
        kinds = [(row["kind"], row.get("name", ""), row["revision"], row["left"]) for row in rows]
        self.assertEqual(kinds[:5], [("begin", "", 0, 0), ("publish", "a", 1, 0), ("withdraw", "a", 2, 2),
                                     ("publish", "b", 2, 1), ("publish", "c", 2, 0)])  # fmt: skip
        self.assertEqual(rows[1]["service"]["origin"], "dfp")
        self.assertEqual(kinds[-1], ("mark", "", 5, 0))

    def test_base_in_slices(self) -> None:
        """
        All that is in force comes in pieces of some services each, with one line before.
        """
        pieces = list(base(tuple(plain(f"s{n}") for n in range(5)), 9, "f" * 32, "me", 2))
        self.assertEqual([piece.count(b"\n") for piece in pieces], [1, 2, 2, 1])
        found = replay(b"".join(pieces))
        self.assertEqual((found.revision, found.digest, found.by, len(found.services)), (9, "f" * 32, "me", 5))

    @given(steps)
    @settings(max_examples=40, deadline=None)
    def test_identity(self, script: list[tuple[list[Service], list[str]]]) -> None:
        """
        What is written is read back, whatever is in it.
        """
        content, states, _ = written(script)
        found = replay(content)
        self.assertEqual(found.services, states[-1])
        self.assertEqual((found.revision, found.damaged, found.good_bytes), (len(script), 0, len(content)))


class CutTests(SynchronousTestCase):
    """
    A file that ends too early.
    """

    def check(self, content: bytes, states: list[State], ends: list[int], size: int) -> None:
        found = replay(content[:size])
        if size < ends[0]:
            # A part of its beginning: what is there is served, and the rest is reported unless nothing is there.
            self.assertLessEqual(found.services.items(), states[0].items())
            return
        whole = sum(end <= size for end in ends)
        self.assertEqual(found.services, states[whole - 1])
        self.assertEqual(found.good_bytes, ends[whole - 1])
        self.assertEqual(found.damaged, 0)

    def test_every_byte(self) -> None:
        """
        Cut at any byte, a file says what was in force after some change: all of it, and nothing of the next one.
        """
        for first in ((), (plain("x"), plain("a", 9), plain("y"))):
            content, states, ends = written(SCRIPT, first, 7 if first else 0)
            for size in range(len(content) + 1):
                self.check(content, states, ends, size)

    @given(steps, st.lists(services, max_size=3, unique_by=lambda one: one.name), st.data())
    @settings(max_examples=60, deadline=None)
    def test_anywhere(
        self, script: list[tuple[list[Service], list[str]]], first: list[Service], data: st.DataObject
    ) -> None:
        """
        The same for whatever may be in it.
        """
        content, states, ends = written(script, tuple(first))
        self.check(content, states, ends, data.draw(st.integers(0, len(content))))

    def test_beginning(self) -> None:
        """
        A beginning that is not whole, which no cut write explains, is reported, and what is there of it counts.
        """
        content, _, _ = written([], (plain("a"), plain("b"), plain("c")))
        lines = content.splitlines(keepends=True)
        found = replay(b"".join(lines[:3]))
        self.assertEqual(list(found.services), ["a", "b"])
        self.assertEqual([d.reason for d in found.damages], ["the file ends here, 1 lines early"])


class DamageTests(SynchronousTestCase):
    """
    A file in which something is not as it was written.
    """

    def setUp(self) -> None:
        self.content, self.states, _ = written(SCRIPT)
        self.lines = self.content.splitlines(keepends=True)

    def reasons(self, found: Replayed) -> list[tuple[int, str]]:
        return [(damage.line, damage.reason) for damage in found.damages]

    def test_every_bit(self) -> None:
        """
        One wrong bit anywhere is noticed, costs the one or two records that it is in, and never another exception.
        """
        present = {json.dumps(msgspec.to_builtins(s)) for state in self.states for s in state.values()}
        for at in range(len(self.content)):
            wrong = bytearray(self.content)
            wrong[at] ^= 1 << at % 8
            found = replay(bytes(wrong))
            self.assertGreaterEqual(found.damaged + (found.good_bytes < len(wrong)), 1, at)
            self.assertLessEqual(found.damaged, 2, at)
            self.assertGreaterEqual(found.revision, 4, at)
            self.assertLessEqual({json.dumps(msgspec.to_builtins(s)) for s in found.services.values()}, present)

    def test_one_record(self) -> None:
        """
        A damaged record is named by its line; the other records of its change count.
        """
        wrong = [*self.lines]
        wrong[3] = wrong[3].replace(b'"b"', b'"d"')
        found = replay(b"".join(wrong))
        self.assertEqual(self.reasons(found), [(4, "its checksum does not match")])
        self.assertEqual(found.services, {"c": plain("c"), "a": plain("a", 81)})
        self.assertEqual((found.revision, found.good_bytes), (5, len(self.content)))

    def test_last_record(self) -> None:
        """
        The last record was promised as well: that it is damaged is told, and its number is not given again.
        """
        wrong = [*self.lines[:5]]
        wrong[4] = wrong[4].replace(b'"c"', b'"d"')
        found = replay(b"".join(wrong))
        self.assertEqual(self.reasons(found), [(5, "its checksum does not match")])
        self.assertEqual(found.services, {"b": plain("b")})
        self.assertGreaterEqual(found.revision, 2)
        wrong = [*self.lines[:2]]
        wrong[1] = wrong[1].replace(b'"a"', b'"d"')
        self.assertEqual(replay(b"".join(wrong)).revision, 1)

    def test_missing(self) -> None:
        """
        Lines that are not there are noticed, within a change and between changes.
        """
        without = {n: self.reasons(replay(b"".join(self.lines[:n] + self.lines[n + 1 :]))) for n in (0, 1, 3, 4, 5)}
        self.assertEqual(without[0], [(1, "the beginning of the file is missing")])
        self.assertEqual(without[1], [(2, "revision 2 follows 0")])
        self.assertEqual(without[3], [(4, "1 lines before it are missing")])
        self.assertEqual(without[4], [(5, "1 lines before it are missing")])
        self.assertEqual(without[5], [(6, "revision 4 follows 2")])

    def test_foreign(self) -> None:
        """
        Lines that are no records, a second beginning, an unknown kind.
        """
        strange = _line(Line(VERSION, 6, 0, "dance"))
        broken = _line(Line(VERSION, 6, 0, "publish", "z", msgspec.Raw(b'{"name":"z"}')))
        found = replay(self.content + b"hello\n" + self.lines[0] + strange + broken)
        wanted = ("is no record", "a beginning in the middle", "dance is not known", "service z has a form that is not")
        self.assertEqual(len(found.damages), len(wanted))
        for start, (_, reason) in zip(wanted, self.reasons(found)):
            self.assertTrue(reason.startswith(start), reason)
        self.assertEqual(found.services, self.states[-1])

    def test_many(self) -> None:
        """
        A file of garbage is reported with a bound.
        """
        found = replay(b"x\n" * (DAMAGES + 5))
        self.assertEqual((len(found.damages), found.damaged), (DAMAGES, DAMAGES + 5))

    @given(st.binary(max_size=200), st.integers(0, 8))
    @settings(max_examples=60, deadline=None)
    def test_anything(self, garbage: bytes, at: int) -> None:
        """
        Garbage between the lines never hides what stands around it.
        """
        found = replay(b"".join([*self.lines[:at], garbage, b"\n", *self.lines[at:]]))
        self.assertEqual(found.services, self.states[-1])
        self.assertGreaterEqual(found.damaged, 1)


class VersionTests(SynchronousTestCase):
    """
    Files of other versions of dfproxy.
    """

    def test_later_format(self) -> None:
        """
        A file of a later format is left alone: its lines may mean what we cannot know.
        """
        later = _line(Line(VERSION + 1, 1, 0, "mark"))
        with self.assertRaises(JournalError) as caught:
            replay(b"".join(base((), 0, "", "me", 9)) + later)
        self.assertIn("format 2", str(caught.exception))

    def test_read_again(self) -> None:
        """
        A definition whose form is no longer known is made again of the operator's parameters.
        """
        old = b'{"name":"a","origin":"environment","parameters":[["serviceName","a"],["port","1"]],"old":1}'
        record = _line(Line(VERSION, 1, 0, "publish", "a", msgspec.Raw(old)))
        content = b"".join(base((), 0, "", "me", 9)) + record
        asked: list[tuple[object, str]] = []

        def read(parameters: tuple[tuple[str, str], ...], origin: str) -> Service | None:
            asked.append((parameters, origin))
            return plain("a", 1)

        found = replay(content, read)
        self.assertEqual((found.services, found.damaged), ({"a": plain("a", 1)}, 0))
        self.assertEqual(asked, [((("serviceName", "a"), ("port", "1")), "environment")])
        for nothing in (lambda parameters, origin: None, lambda parameters, origin: plain("b"), None):
            found = replay(content, nothing)
            self.assertEqual((found.services, found.damaged), ({}, 1))

    def test_new_fields(self) -> None:
        """
        A definition without a field that is new, or with one that is gone, is read: the field has its default.
        """
        row = json.loads(msgspec.json.encode(plain("a")))
        del row["origin"]
        row["gone"] = 1
        record = _line(Line(VERSION, 1, 0, "publish", "a", msgspec.Raw(json.dumps(row).encode())))
        self.assertEqual(replay(b"".join(base((), 0, "", "me", 9)) + record).services, {"a": plain("a")})


class HoldTests(SynchronousTestCase):
    """
    What keeps a source out is in the file as well.
    """

    def script(self) -> list[Change]:
        """
        A hold comes with a service, one of a name that is not in force, one is replaced, and one ends.
        """
        one, other, newer = Hold("a", plain("a", 2), 7), Hold("gone", plain("gone"), 7), Hold("a", plain("a", 3), 9)
        return [
            Change(Revision(1, "1"), (plain("a"), plain("b")), holds=(one, other)),
            Change(Revision(2, "2"), (), ("b",), holds=(newer,)),
            Change(Revision(3, "3"), (plain("gone"),), released=("gone",)),
            Change(Revision(4, "4"), released=("a",)),
        ]

    def test_every_byte(self) -> None:
        """
        Cut at any byte, a file says which holds there were after some change, together with its services.
        """
        first = Hold("x", plain("x", 9), 3)
        content = b"".join(base((plain("x"),), 0, "f" * 32, "me", 2, (first,)))
        holds, services = {"x": first}, {"x": plain("x")}
        states, ends = [(dict(services), dict(holds))], [len(content)]
        for change in self.script():
            content += lines_of(change)
            for name in change.released:
                holds.pop(name)
            holds.update((hold.name, hold) for hold in change.holds)
            for name in change.removed:
                services.pop(name)
            services.update((one.name, one) for one in change.services)
            states.append((dict(services), dict(holds)))
            ends.append(len(content))
        for size in range(ends[0], len(content) + 1):
            found = replay(content[:size])
            whole = sum(end <= size for end in ends)
            self.assertEqual((found.services, found.holds), states[whole - 1], size)
            self.assertEqual((found.damaged, found.good_bytes), (0, ends[whole - 1]))

    def test_damaged(self) -> None:
        """
        A hold that cannot be read is reported by its line, and everything else counts.
        """
        content = b"".join(base((plain("x"),), 0, "f" * 32, "me", 2))
        for change in self.script()[:2]:
            content += lines_of(change)
        lines = content.splitlines(keepends=True)
        (at,) = (n for n, line in enumerate(lines) if json.loads(line).get("name") == "gone")
        lines[at] = lines[at].replace(b'"port":80', b'"port":81')
        found = replay(b"".join(lines))
        self.assertEqual([damage.line for damage in found.damages], [at + 1])
        self.assertEqual((set(found.holds), set(found.services)), ({"a"}, {"x", "a"}))


class OrderTests(SynchronousTestCase):
    """
    What an operator says of single servers.
    """

    first = Order("a", "10.0.0.1", 80, DRAIN)
    second = Order("b", "10.0.0.2", 80, MAINT, 7)

    def content(self, *changes: Change) -> bytes:
        begun = base((plain("a"), plain("b")), 1, "f" * 32, "me", 1, (), (self.first,))
        return b"".join(begun) + b"".join(map(lines_of, changes))

    def test_read_again(self) -> None:
        """
        What holds is in the base; later orders join it or end it; a service that goes takes its own along.
        """
        ready = Order("a", "10.0.0.1", 80)
        for changes, wanted in (
            ((), (self.first,)),
            ((Change(Revision(2), orders=(self.second,)),), (self.first, self.second)),
            ((Change(Revision(2), orders=(ready,)),), ()),
            ((Change(Revision(2), removed=("a",)),), ()),
            ((Change(Revision(2), removed=("a",)), Change(Revision(3), (plain("a"),))), ()),
            ((Change(Revision(2), (plain("a", 81),)),), (self.first,)),
        ):
            found = replay(self.content(*changes))
            self.assertEqual(found.orders, with_orders({}, (), wanted), changes)
            self.assertEqual((found.damaged, found.revision), (0, 1 + len(changes)))

    def test_every_byte(self) -> None:
        """
        Cut anywhere it is as before the change or as after it.
        """
        whole = self.content()
        content = self.content(Change(Revision(2), orders=(self.second, Order("a", "10.0.0.1", 80))))
        for end in range(len(whole), len(content) + 1):
            found = replay(content[:end])
            after = end == len(content)
            wanted = (self.second,) if after else (self.first,)
            self.assertEqual((found.orders, found.damaged), (with_orders({}, (), wanted), 0), end)

    def test_damaged(self) -> None:
        """
        A damaged one is named, and everything else counts.
        """
        content = self.content(Change(Revision(2), orders=(self.second,)))
        found = replay(content.replace(b'"maint"', b'"mxint"'))
        self.assertEqual((found.damaged, set(found.services), set(found.orders)), (1, {"a", "b"}, {"a"}))
