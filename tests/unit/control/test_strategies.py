"""
Finding plugins, and saying what is wrong with those that are broken.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from textwrap import dedent

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from dfproxy.control.strategies import Broken, Strategies
from dfproxy.errors import InvalidBalance
from dfproxy.interfaces import IBalancer, IBalancerFactory, IRouteConditionFactory, IRouteOrderFactory
from dfproxy.model.service import Balance
from dfproxy.testing import FakeRequest, fake_servers
from tests.folders import PluginFolders

LAST = """
    from dfproxy.balancing.base import Balancer, Strategy

    class Last(Balancer):
        def pick(self, request):
            return self.servers[-1] if self.servers else None

    last = Strategy("last", "always the last one", Last)
"""

BARE = """
    from twisted.plugin import IPlugin
    from zope.interface import implementer
    from dfproxy.interfaces import *

    @implementer(IPlugin, IBalancerFactory)
    class Bare:
        name = "bare"
        description = "made without any class of ours"

        def build(self, arguments, clock, random):
            {body}

    bare = Bare()
"""


class BuiltInTests(SynchronousTestCase):
    """
    What is there without any folder.
    """

    def test_all_are_found(self) -> None:
        """
        The strategies, orders and conditions that the documentation names, each sound, and nothing broken.
        """
        strategies = Strategies.load()
        self.assertEqual(strategies.broken, ())
        self.assertEqual(
            sorted(strategies.balancers),
            ["ewma", "first", "hdr", "leastconn", "random", "roundrobin", "source", "uri"],
        )
        self.assertEqual(sorted(strategies.orders), ["dfp", "specific"])
        self.assertEqual(sorted(strategies.conditions), ["haproxy-lines", "method", "network"])
        for name, balancer in strategies.balancers.items():
            verifyObject(IBalancerFactory, balancer)
            self.assertEqual(balancer.name, name)
        for order in strategies.orders.values():
            verifyObject(IRouteOrderFactory, order)
        for condition in strategies.conditions.values():
            verifyObject(IRouteConditionFactory, condition)

    def test_description(self) -> None:
        """
        What the API and --help show: kind, name, a line, and the file of each; it can be written as JSON.
        """
        entries = Strategies.load().describe()
        self.assertEqual(json.loads(json.dumps(entries)), entries)
        entry = next(entry for entry in entries if entry["name"] == "leastconn")
        self.assertEqual(entry["kind"], "balancer")
        self.assertIn("fewest", entry["description"])
        self.assertEqual(Path(entry["file"]).name, "balancers.py")
        names = [entry["name"] for entry in entries if entry["kind"] == "balancer"]
        self.assertEqual(names, sorted(names))

    def test_loading_twice_is_the_same(self) -> None:
        """
        A second load in the same process finds the same, and complains of nothing.
        """
        self.assertEqual(Strategies.load().describe(), Strategies.load().describe())


class ParseTests(SynchronousTestCase):
    """
    What an operator writes after `balance=`.
    """

    def setUp(self) -> None:
        """
        The built-in strategies.
        """
        self.strategies = Strategies.load()

    def test_haproxy_syntax(self) -> None:
        """
        Names, arguments in brackets, words that follow, and blanks around any of them.
        """
        for text, expected in (
            ("roundrobin", Balance("roundrobin")),
            ("  leastconn ", Balance("leastconn")),
            ("static-rr", Balance("roundrobin")),
            ("hdr(X-User)", Balance("hdr", ("X-User",))),
            ("hdr( X-User )", Balance("hdr", ("X-User",))),
            ("uri depth 3", Balance("uri", ("depth", "3"))),
            ("uri  whole\tlen 12", Balance("uri", ("whole", "len", "12"))),
            ("random(2)", Balance("random", ("2",))),
            ("random()", Balance("random")),
            ("source", Balance("source")),
        ):
            self.assertEqual(self.strategies.parse_balance(text), expected, text)

    def test_unknown_names_the_known(self) -> None:
        """
        A slip of the pen is answered with all that there is.
        """
        error = self.assertRaises(InvalidBalance, self.strategies.parse_balance, "leastcon")
        self.assertIn("'leastcon'", str(error))
        for name in (*self.strategies.balancers, "static-rr"):
            self.assertIn(name, str(error))

    def test_bad_arguments_are_found(self) -> None:
        """
        Arguments are tried at once, not when the first request comes; the answer begins with the strategy.
        """
        for text in ("hdr", "hdr(a,b)", "uri depth", "uri depth none", "roundrobin 3", "random(99)", "source(x)"):
            error = self.assertRaises(InvalidBalance, self.strategies.parse_balance, text)
            self.assertTrue(str(error).startswith(text.split("(")[0].split()[0] + ": "), str(error))

    def test_what_is_no_strategy(self) -> None:
        """
        Anything else is refused with an example of what would do.
        """
        for text in ("", " ", "(x)", "hdr(X", "hdr)X(", "hdr(a)(b)", "a;b", "uri\ndepth 3\n; x(", "hdr((x))"):
            self.assertRaises(InvalidBalance, self.strategies.parse_balance, text)

    def test_alias_builds(self) -> None:
        """
        A service that was stored with a second name of a strategy still has a balancer.
        """
        verifyObject(IBalancer, self.strategies.build(Balance("static-rr"), Clock(), Random(1)))


class FolderTests(PluginFolders, SynchronousTestCase):
    """
    `--plugins DIR`.
    """

    def only_broken(self, strategies: Strategies, file: str) -> str:
        """
        Why this file is the one that cannot be used; everything built in works all the same.
        """
        self.assertEqual([Path(broken.file).name for broken in strategies.broken], [file])
        self.assertEqual(strategies.parse_balance("roundrobin"), Balance("roundrobin"))
        return strategies.broken[0].reason

    def test_own_strategy(self) -> None:
        """
        One file in a folder is a strategy, found by its name, at once, and built for each backend.
        """
        strategies = self.load_files(last=LAST)
        self.assertEqual(strategies.broken, ())
        self.assertEqual(strategies.parse_balance("last"), Balance("last"))
        balancer = strategies.build(Balance("last"), Clock(), Random(1))
        servers = fake_servers([1, 1])
        balancer.update(servers)
        self.assertIs(balancer.pick(FakeRequest()), servers[1])
        self.assertIn("last", [entry["name"] for entry in strategies.describe()])
        self.assertIn("always the last one", strategies.summary())

    def test_same_folder_again(self) -> None:
        """
        Loading the same folder again in one process finds the same, with nothing given twice.
        """
        folder = self.folder(last=LAST)
        self.assertEqual(self.load(folder).describe(), Strategies.load((folder, folder)).describe())

    def test_without_our_classes(self) -> None:
        """
        The interfaces are enough; nobody has to derive from anything.
        """
        body = "from dfproxy.balancing.first import First; return First()"
        strategies = self.load_files(bare=BARE.format(body=body))
        self.assertEqual(strategies.broken, ())
        verifyObject(IBalancer, strategies.build(Balance("bare"), Clock(), Random(1)))

    def test_several_folders_and_kinds(self) -> None:
        """
        Folders add up, and one file may hold several plugins of all kinds.
        """
        other = """
            from twisted.plugin import IPlugin
            from zope.interface import implementer
            from dfproxy.interfaces import IRouteConditionFactory, IRouteOrderFactory

            @implementer(IPlugin, IRouteOrderFactory)
            class Order:
                name, description = "by-name", "by name"
                def key(self, route):
                    return (route.service.name,)

            @implementer(IPlugin, IRouteConditionFactory)
            class Never:
                name, description = "never", "never"
                def compile(self, values):
                    return lambda request: False

            order, never = Order(), Never()
        """
        strategies = self.load(self.folder(last=LAST), self.folder(other=other))
        self.assertEqual(strategies.broken, ())
        self.assertIn("last", strategies.balancers)
        self.assertIn("by-name", strategies.orders)
        self.assertIn("never", strategies.conditions)

    def test_module_that_does_not_import(self) -> None:
        """
        The file, the error and its line are reported; the plugins beside it work.
        """
        strategies = self.load_files(last=LAST, lost="import os\n\nimport no_such_module_anywhere\n")
        reason = self.only_broken(strategies, "lost.py")
        self.assertIn("no_such_module_anywhere", reason)
        self.assertIn("line 3", reason)
        self.assertIn("last", strategies.balancers)
        self.flushLoggedErrors(ImportError)

    def test_module_with_a_slip(self) -> None:
        """
        So is a file that is no Python, with its line.
        """
        reason = self.only_broken(self.load_files(slip="x = 1\ndef f(:\n"), "slip.py")
        self.assertIn("line 2", reason)
        self.flushLoggedErrors(SyntaxError)

    def test_module_that_leaves(self) -> None:
        """
        A module that ends the interpreter does not end the proxy.
        """
        self.assertIn("SystemExit", self.only_broken(self.load_files(leave="raise SystemExit(3)\n"), "leave.py"))
        self.flushLoggedErrors(SystemExit)

    def test_unknown_strategy_names_broken_files(self) -> None:
        """
        Who asks for the strategy of a broken file is told which file, and why.
        """
        strategies = self.load_files(lost="import no_such_module_anywhere\n")
        error = self.assertRaises(InvalidBalance, strategies.parse_balance, "lost")
        self.assertIn("lost.py: ModuleNotFoundError", str(error))
        entry = strategies.describe()[-1]
        self.assertEqual((entry["kind"], entry["name"]), ("broken", "lost"))
        self.assertIn("no_such_module_anywhere", entry["description"])
        self.assertIn("lost.py", strategies.summary())
        self.flushLoggedErrors(ImportError)

    def test_name_given_twice(self) -> None:
        """
        The second of two with one name is refused, and the first is named; nobody can take a built-in name.
        """
        strategies = self.load_files(alpha=LAST, beta=LAST)
        self.assertIn("alpha.py", self.only_broken(strategies, "beta.py"))
        strategies = self.load_files(gamma=LAST.replace('"last"', '"roundrobin"'))
        self.assertIn("balancers.py", self.only_broken(strategies, "gamma.py"))
        self.assertEqual(Path(strategies.files["balancer", "roundrobin"]).name, "balancers.py")

    def test_alias_is_a_name(self) -> None:
        """
        A plugin cannot have a name that is another's second name: it would never be reached.
        """
        strategies = self.load_files(alias=LAST.replace('"last"', '"static-rr"'))
        self.assertIn("roundrobin", self.only_broken(strategies, "alias.py"))

    def test_object_that_keeps_no_interface(self) -> None:
        """
        What says it is a strategy and has no `build`, or one of other arguments, is refused with what is missing.
        """
        text = BARE.format(body="return None")
        reason = self.only_broken(self.load_files(bare=text.replace("def build", "def construct")), "bare.py")
        self.assertIn("build", reason)
        reason = self.only_broken(self.load_files(bare=text.replace("arguments, clock, random", "")), "bare.py")
        self.assertIn("build", reason)

    def test_bad_names(self) -> None:
        """
        A name that `balance=` could not hold, or none at all, is refused.
        """
        text = BARE.format(body="return None")
        for number, name in enumerate(('"two words"', '""', "None", "3", '"a(b)"', '"x\\n"')):
            strategies = self.load_files(**{f"named{number}": text.replace('"bare"', name)})
            self.assertIn("letters, digits", strategies.broken[-1].reason)
        strategies = self.load_files(described=text.replace('"made without any class of ours"', "5"))
        self.assertIn("description", strategies.broken[-1].reason)

    def test_forgotten_plugin_interface(self) -> None:
        """
        An object that the search does not see, since it is no IPlugin, is reported with the remedy.
        """
        text = BARE.format(body="return None").replace("IPlugin, IBal", "IBal")
        self.assertIn("IPlugin", self.only_broken(self.load_files(bare=text), "bare.py"))

    def test_forgotten_instance(self) -> None:
        """
        A class that is never put to use is reported with the line that is missing.
        """
        text = BARE.format(body="return None").replace("bare = Bare()", "")
        self.assertIn("`bare = Bare()`", self.only_broken(self.load_files(bare=text), "bare.py"))
        text = LAST.rpartition("last = ")[0]
        self.assertIn('`last = Strategy("last", ', self.only_broken(self.load_files(last=text), "last.py"))

    def test_plugin_of_another_trade(self) -> None:
        """
        An object that is a plugin of something else is refused.
        """
        text = """
            from twisted.plugin import IPlugin
            from zope.interface import implementer

            @implementer(IPlugin)
            class Stranger:
                pass

            stranger = Stranger()
        """
        self.assertIn("IBalancerFactory", self.only_broken(self.load_files(stranger=text), "stranger.py"))

    def test_shared_module_is_no_fault(self) -> None:
        """
        A file that only holds what others import is left alone; what they import is not registered twice.
        """
        user = "from dfproxy.plugins.last import last\n"
        strategies = self.load_files(last=LAST, shared="X = 5\n", user=user)
        self.assertEqual(strategies.broken, ())
        self.assertEqual(Path(strategies.files["balancer", "last"]).name, "last.py")

    def test_file_that_cannot_be_imported_by_name(self) -> None:
        """
        `my-strategy.py` would be passed over in silence: it is reported.
        """
        folder = self.folder()
        (Path(folder) / "my-strategy.py").write_text("")
        self.assertIn("letters, digits and `_`", self.only_broken(self.load(folder), "my-strategy.py"))

    def test_file_that_is_hidden(self) -> None:
        """
        A file of the same name as another one is not loaded: it is reported, whether built in or in a folder.
        """
        self.assertIn("hidden by", self.only_broken(self.load_files(balancers=LAST), "balancers.py"))

    def test_file_hidden_in_another_folder(self) -> None:
        """
        The first folder wins.
        """
        one, other = self.folder(last=LAST), self.folder(last=LAST)
        strategies = self.load(one, other)
        self.assertIn(os.path.basename(one), self.only_broken(strategies, "last.py"))
        self.assertIn(os.path.basename(other), strategies.broken[0].file)

    def test_folder_that_is_none(self) -> None:
        """
        A folder that does not exist is reported, and the proxy starts.
        """
        strategies = self.load("no/such/folder")
        self.assertIn("not a folder", self.only_broken(strategies, "folder"))

    def test_package_is_no_folder_of_plugins(self) -> None:
        """
        An `__init__.py` is of no use in it, and is said so; the plugins beside it work.
        """
        strategies = self.load_files(__init__="", last=LAST)
        self.assertIn("no package", self.only_broken(strategies, "__init__.py"))
        self.assertIn("last", strategies.balancers)

    def test_file_of_a_moment_ago(self) -> None:
        """
        A file that has come since Python last listed the folder is found, though the folder's time is the same.
        """
        folder = self.folder(shared="")
        for _ in range(2):  # the first one also writes a cache there, which changes the folder's time
            self.load(folder)
        times = os.stat(folder)
        (Path(folder) / "last.py").write_text(dedent(LAST), encoding="utf-8")
        os.utime(folder, ns=(times.st_atime_ns, times.st_mtime_ns))
        self.assertIn("last", self.load(folder).balancers)

    def test_outdated_cache(self) -> None:
        """
        A file that looks older than Twisted's cache of plugins, such as one from a backup, is found all the same.
        """
        folder = self.folder(last="")
        self.load(folder)
        file = Path(folder) / "last.py"
        file.write_text(dedent(LAST), encoding="utf-8")
        os.utime(file, (1, 1))
        self.assertIn("last", self.load(folder).balancers)


class BuildTests(PluginFolders, SynchronousTestCase):
    """
    A plugin that fails when it is used.
    """

    def build(self, body: str) -> InvalidBalance:
        """
        How building fails.
        """
        strategies = self.load_files(bare=BARE.format(body=body))
        self.assertEqual(strategies.broken, ())
        return self.assertRaises(InvalidBalance, strategies.build, Balance("bare", ("7",)), Clock(), Random(1))

    def test_any_exception_names_the_file(self) -> None:
        """
        An exception of the plugin refuses the service, and names strategy, file, error and line.
        """
        error = self.build("return 1 / 0")
        self.assertIn("bare: plugin ", str(error))
        self.assertIn("bare.py failed: ZeroDivisionError", str(error))
        self.assertIn("(line 12)", str(error))

    def test_own_refusal_is_shown(self) -> None:
        """
        What the plugin says about its arguments reaches the operator.
        """
        error = self.build('from dfproxy.errors import InvalidBalance; raise InvalidBalance("7 is too many")')
        self.assertEqual(str(error), "bare: 7 is too many")

    def test_what_is_no_balancer_is_refused(self) -> None:
        """
        A `build` that returns something else refuses the service, not each of its requests.
        """
        self.assertIn("bare.py", str(self.build("return None")))
        self.assertIn("IBalancer", str(self.build("return object()")))


class BrokenTests(SynchronousTestCase):
    """
    The report itself.
    """

    def test_broken_are_values(self) -> None:
        """
        Equal when they say the same, so that a report can be compared.
        """
        self.assertEqual(Broken("a.py", "why"), Broken("a.py", "why"))
