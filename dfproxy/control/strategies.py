"""
Finds strategies, route orders and route conditions by name, and says loudly which plugins are broken.

Twisted's plugin search only logs what does not load. Here each such file is reported with the reason, and so is an
object that does not keep its interface, a name that is given twice, a file that Python cannot import by its name.
None of it keeps the proxy from starting.

Source: `twisted.plugin`; HAProxy keyword `balance`; DFP `balanceGroup`.
"""

from __future__ import annotations

import importlib
import re
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.plugin import IPlugin, getPlugins
from twisted.python.modules import getModule
from zope.interface import implementedBy
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

import dfproxy.plugins
from dfproxy.errors import InvalidBalance
from dfproxy.interfaces import IBalancer, IBalancerFactory, IRouteConditionFactory, IRouteOrderFactory
from dfproxy.model.match import Condition
from dfproxy.model.service import Balance
from dfproxy.routing.matcher import plugin_check

log = Logger()

KINDS: tuple[tuple[str, Any], ...] = (
    ("balancer", IBalancerFactory),
    ("order", IRouteOrderFactory),
    ("condition", IRouteConditionFactory),
)
"""
What a plugin may be, as `describe` calls it, and the interface that it provides.
"""

HEADINGS = (
    ("balancer", "Strategies (balance=)"),
    ("order", "Route orders (--route-order)"),
    ("condition", "Route conditions (condition=)"),
    ("broken", "Plugins that cannot be used"),
)

ALIASES = {"static-rr": "roundrobin"}
"""
Names that HAProxy has for what is one thing here: our round robin may change weights at any time and costs no more.
"""

NAME = re.compile(r"[A-Za-z0-9_-]+")
BALANCE = re.compile(r"([A-Za-z0-9_-]+)\s*(?:\(([^()]*)\))?(?:\s+(\S.*))?")
"""
`name`, `name(word, word)`, `name word word`, or both.
"""


@dataclass(frozen=True, slots=True)
class Broken:
    """
    A plugin that cannot be used.

    Attributes:
        file: where it stands.
        reason: what is wrong with it, and what would be right.
    """

    file: str
    reason: str


@dataclass(frozen=True)
class Strategies:
    """
    Everything that plugins offer, by name.

    Attributes:
        balancers: name to `IBalancerFactory`.
        orders: name to `IRouteOrderFactory`.
        conditions: name to `IRouteConditionFactory`.
        broken: what was found and cannot be used.
        files: file of each plugin that can, by kind and name.
    """

    balancers: dict[str, IBalancerFactory] = field(default_factory=dict)
    orders: dict[str, IRouteOrderFactory] = field(default_factory=dict)
    conditions: dict[str, IRouteConditionFactory] = field(default_factory=dict)
    broken: tuple[Broken, ...] = ()
    files: dict[tuple[str, str], str] = field(default_factory=dict)
    _verified: set[type] = field(default_factory=set, repr=False)

    @classmethod
    def load(cls, directories: Sequence[str] = ()) -> Strategies:
        """
        Import every plugin there is and keep those that are sound. Never raises for a plugin's sake.

        The folders stay on the path of `dfproxy.plugins` for the life of the process.

        Args:
            directories: further folders with plugin files (`--plugins`).
        """
        search = _Search()
        for directory in directories:
            search.add(directory)
        search.run()
        for broken in search.broken:
            log.error("plugin {file} cannot be used: {reason}", file=broken.file, reason=broken.reason)
        return cls(
            search.found["balancer"],
            search.found["order"],
            search.found["condition"],
            tuple(search.broken),
            search.files,
        )

    def parse_balance(self, text: str) -> Balance:
        """
        Read a strategy and its arguments, and see that a balancer can be made of it.

        Args:
            text: HAProxy's syntax: `roundrobin`, `hdr(X-User)`, `uri depth 3`.

        Raises:
            InvalidBalance: not known, or arguments that it does not take.
        """
        parts = BALANCE.fullmatch(text.strip())
        if parts is None:
            raise InvalidBalance(f"{text!r} is not a strategy such as roundrobin, hdr(X-User) or uri depth 3")
        name, inner, rest = parts.groups()
        words = [word.strip() for word in (inner or "").split(",")]
        arguments = (*(word for word in words if word), *(rest or "").split())
        balance = Balance(ALIASES.get(name, name), arguments)
        self.build(balance, Clock(), Random(0))
        return balance

    def check_condition(self, condition: Condition) -> None:
        """
        See that there is such a condition, and that it takes these values.

        Raises:
            InvalidRoute: not known, or values that it does not take.
        """
        plugin_check(condition, self.conditions)

    def build(self, balance: Balance, clock: object, random: object) -> IBalancer:
        """
        Make the balancer of one backend.

        Args:
            balance: which.
            clock: `IReactorTime`.
            random: `random.Random`.

        Raises:
            InvalidBalance: not known, arguments that it does not take, or a plugin that fails.
        """
        name = ALIASES.get(balance.name, balance.name)
        factory = self.balancers.get(name)
        if factory is None:
            raise InvalidBalance(self._unknown(balance.name))
        try:
            balancer = factory.build(balance.arguments, clock, random)
            # Once for each class: ten thousand backends share a handful, and verifying takes tens of microseconds.
            if type(balancer) not in self._verified:
                verifyObject(IBalancer, balancer)
                self._verified.add(type(balancer))
        except InvalidBalance as error:
            raise InvalidBalance(f"{name}: {error}") from error
        except Exception as error:  # a plugin's fault must not become ours
            file = self.files.get(("balancer", name), "?")
            raise InvalidBalance(f"{name}: plugin {file} failed: {_reason(error, file)}") from error
        return balancer

    def describe(self) -> list[dict[str, str]]:
        """
        One entry for each plugin: `kind` (balancer, order, condition; broken), `name`, `description`, `file`.

        Sorted by kind and name; the broken ones are last, with their file's name and what is wrong with it.
        """
        lists: tuple[tuple[str, dict[str, Any]], ...] = (
            ("balancer", self.balancers),
            ("order", self.orders),
            ("condition", self.conditions),
        )
        entries = [
            {"kind": kind, "name": name, "description": plugins[name].description, "file": self.files[kind, name]}
            for kind, plugins in lists
            for name in sorted(plugins)
        ]
        for broken in self.broken:
            name = Path(broken.file).stem
            entries.append({"kind": "broken", "name": name, "description": broken.reason, "file": broken.file})
        return entries

    def summary(self) -> str:
        """
        The same for `--help`: a heading for each kind, a line for each plugin.
        """
        lines = []
        entries = self.describe()
        for kind, heading in HEADINGS:
            chosen = [entry for entry in entries if entry["kind"] == kind]
            if chosen:
                lines.append(f"{heading}:")
                for entry in chosen:
                    word = entry["file"] if kind == "broken" else entry["name"]
                    lines.append(f"  {word:<12} {entry['description']}")
        return "\n".join(lines) + "\n"

    def _unknown(self, name: str) -> str:
        text = f"there is no strategy {name!r}; known are {', '.join(sorted({*self.balancers, *ALIASES}))}"
        if self.broken:
            files = "; ".join(f"{broken.file}: {broken.reason}" for broken in self.broken)
            text += f" (plugins that cannot be used: {files})"
        return text


class _Search:
    """
    One walk over all plugin files.
    """

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {kind: {} for kind, _ in KINDS}
        self.files: dict[tuple[str, str], str] = {}
        self.broken: list[Broken] = []

    def add(self, directory: str) -> None:
        """
        Put a folder on the path, and look for files in it that the search would pass over in silence.
        """
        folder = Path(directory).resolve()
        if not folder.is_dir():
            self._report(str(folder), "is not a folder")
            return
        if str(folder) not in dfproxy.plugins.__path__:
            dfproxy.plugins.__path__.append(str(folder))

    def run(self) -> None:
        """
        Import all and sort what they offer.
        """
        importlib.invalidate_caches()  # a file that was written a moment ago is there
        modules = dict(self._modules())
        try:
            plugins: list[object] = list(getPlugins(IPlugin, dfproxy.plugins))
        except Exception as error:  # noqa: BLE001  such as a folder that goes away meanwhile
            self._report(", ".join(dfproxy.plugins.__path__), _reason(error, ""))
            plugins = []
        homes: dict[int, str] = {}
        for name, file in modules.items():
            try:
                for value in self._offered(self._import(name, file), file):
                    homes.setdefault(id(value), file)
                    # The search trusts `dropin.cache` for files that look older than it, and so can miss some.
                    plugins.append(value)
            except (Exception, SystemExit) as error:  # noqa: BLE001  whatever a plugin does at import is reported
                self._report(file, _reason(error, file))
        for plugin in {id(plugin): plugin for plugin in plugins}.values():
            if id(plugin) in homes:
                self._take(plugin, homes[id(plugin)])

    def _modules(self) -> Iterator[tuple[str, str]]:
        """
        Name and file of each plugin module, as Twisted finds them; others are reported.
        """
        package = getModule(dfproxy.plugins.__name__)
        found = {module.name: module.filePath.path for module in package.iterModules()}
        for folder in dfproxy.plugins.__path__:
            for path in sorted(Path(folder).glob("*.py")):
                name = f"{dfproxy.plugins.__name__}.{path.stem}"
                if path.stem == "__init__":
                    if str(path) != dfproxy.plugins.__file__:
                        self._report(str(path), "is not read: a plugin folder is no package; remove it")
                elif not path.stem.isidentifier():
                    self._report(str(path), "cannot be imported by this name: use letters, digits and `_`")
                elif not path.samefile(found.get(name, path)):
                    self._report(str(path), f"is hidden by {found[name]}; give it another name")
        yield from found.items()

    def _import(self, name: str, file: str) -> ModuleType:
        module = importlib.import_module(name)
        loaded = getattr(module, "__file__", None) or ""
        if not loaded or Path(loaded).resolve() != Path(file).resolve():
            raise ImportError(f"is hidden by {loaded or name}, which is loaded already; give it another name")
        return module

    def _offered(self, module: ModuleType, file: str) -> list[object]:
        """
        The plugin objects of a module. Reports what looks like one and is none.
        """
        offered: list[object] = []
        unseen: list[str] = []
        unused: list[str] = []
        for name, value in list(vars(module).items()):
            if isinstance(value, type):
                if value.__module__ != module.__name__:
                    continue
                made = implementedBy(value)  # type: ignore[no-untyped-call]  # zope.interface has no types there
                if any(made.isOrExtends(interface) for _, interface in KINDS):
                    unused.append(f"class {name} is never used: write `{name.lower()} = {name}()` below it")
                elif made.isOrExtends(IBalancer):
                    unused.append(
                        f"no strategy uses class {name}: write"
                        f' `{name.lower()} = Strategy("{name.lower()}", "what it does", {name})` below it'
                    )
            elif IPlugin.providedBy(value):
                offered.append(value)
            elif any(interface.providedBy(value) for _, interface in KINDS):
                unseen.append(f"{name} is not seen by the plugin search: let its class implement IPlugin, too")
        if not offered:
            # With something on offer the rest may be parts of it; without, the author wonders where the plugin is.
            for reason in unseen or unused:
                self._report(file, reason)
        return offered

    def _take(self, plugin: Any, file: str) -> None:
        """
        Keep a plugin if it is what it says.
        """
        kinds = [(kind, interface) for kind, interface in KINDS if interface.providedBy(plugin)]
        if not kinds:
            known = ", ".join(interface.__name__ for _, interface in KINDS)
            self._report(file, f"a {type(plugin).__name__} is a plugin, but provides none of {known}")
        for kind, interface in kinds:
            try:
                verifyObject(interface, plugin)
                name, description = plugin.name, plugin.description
            except Invalid as error:
                self._report(file, " ".join(str(error).split()))
                continue
            except Exception as error:  # noqa: BLE001  attributes of a plugin may be code of its own
                self._report(file, _reason(error, file))
                continue
            if not isinstance(name, str) or not NAME.fullmatch(name):
                self._report(file, f"name {name!r}: a name is made of letters, digits, `-` and `_`")
            elif not isinstance(description, str):
                self._report(file, f"description of {name!r} is not a text")
            elif name in self.found[kind] or (kind == "balancer" and name in ALIASES):
                taken = self.files.get((kind, name), f"{ALIASES.get(name)}, which has it as a second name")
                self._report(file, f"{kind} {name!r} is already there, in {taken}; give it another name")
            else:
                self.found[kind][name] = plugin
                self.files[kind, name] = file

    def _report(self, file: str, reason: str) -> None:
        self.broken.append(Broken(file, reason))


def _reason(error: BaseException, file: str) -> str:
    """
    One line for the operator: kind of error, text, and the last line of this file that led to it.
    """
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if isinstance(error, SyntaxError):
        return text  # has its line in the text
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{text} (line {lines[-1]})" if lines else text
