"""
Holds the house: who may import whom, which module has its tests, what every file must say.

Reads the source with `ast` and imports nothing of it, so a module that cannot be imported is judged too.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.run import SUITES

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "dfproxy"

STOREYS = {
    "errors": 0,
    "model": 0,
    "interfaces": 0,
    "balancing": 1,
    "deadlines": 1,
    "descriptors": 1,
    "expressions": 1,
    "health": 1,
    "observe": 1,
    "polling": 1,
    "systemd": 1,
    "transport": 1,
    "wire": 1,
    "dfp": 2,
    "routing": 2,
    "tls": 2,
    "upstream": 2,
    "exchange": 3,
    "plugins": 3,
    "frontend": 4,
    "control": 5,
    "api": 6,
    "discovery": 6,
    "service": 7,
    "workers": 8,
    "daemon": 9,
    "rehearsal": 10,
    "tap": 11,
    "console": 11,
    "testing": 9,
}
"""A room, which is a folder or a module of the package itself, to its storey. `uv` stands outside: see below."""

GROUND_ORDER = ("errors", "model", "interfaces")
"""The ground storey is three rooms that need each other in this order."""

UV_GUESTS = ("tap", "workers")
"""Who may import the reactor: those who choose or install one."""

REACTOR_IMPORTERS = {
    "dfproxy.tap": "chooses it",
    "dfproxy.daemon.proxy": "assembles with it",
    "dfproxy.rehearsal": "runs it, for as long as it takes to see that all would start",
    "dfproxy.workers.worker": "runs it",
    "dfproxy.frontend.resource": "Twisted's own signature of ReverseProxyResource lets callers leave it out",
}

WITHOUT_TESTS = {
    "dfproxy.errors": "exceptions without behaviour; their words are tested where they are raised",
    "dfproxy.interfaces": "obligations; the suites in dfproxy.testing hold implementations to them",
    "dfproxy.daemon.plane": "a protocol; mypy holds its two kinds to it",
    "dfproxy.model.ending": "an enumeration; tests/unit/exchange has each of its endings happen",
}
"""Modules without a test file of their own, with the reason."""

LINES_LIMIT = 500
"""Past it a module's docstring says why it is still "one thing"."""

SOURCES = ("dfproxy", "plugins", "tests", "bench", "demo", "twisted")


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """
    The folder (or module of the package itself) a module is in; "" for the package.
    """
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


MODULES = {module_name(file): file for file in sorted(PACKAGE.rglob("*.py"))}


def imports_of(module: str, tree: ast.AST, known: set[str] | None = None) -> Iterator[tuple[str, int]]:
    """
    Modules that a module imports anywhere: at its top, in functions, under TYPE_CHECKING.

    Yields:
        Name and line. `from a import b` is a.b where that is a module, else a.
    """
    known = set(MODULES) if known is None else known
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".")[: -node.level]
                base = ".".join([*package, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield (inner if inner in known else base), node.lineno


def wrong_import(importer: str, imported: str) -> str:
    """
    Why one module of ours may not import another; "" if it may.
    """
    here, there = room_of(importer), room_of(imported)
    if not there or here == there:
        return ""
    if not here:
        return "the package's own __init__ imports nothing"
    if here == "uv":
        return "uv imports nothing of ours: it is useful without us"
    if there == "uv":
        return "" if here in UV_GUESTS else f"only {', '.join(UV_GUESTS)} may import uv"
    for room in (here, there):
        if room not in STOREYS:
            return f"{room} has no storey: give it one here"
    above, below = STOREYS[here], STOREYS[there]
    if above == below == 0:
        return "" if GROUND_ORDER.index(here) > GROUND_ORDER.index(there) else "upwards on the ground storey"
    if above < below:
        return f"upwards, storey {above} to {below}"
    return f"sideways on storey {above}" if above == below else ""


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    """
    One circle of imports, or nothing.
    """
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for other in sorted(graph.get(module, ())):
            if circle := walk(other, [*path, module]):
                return circle
        done.add(module)
        return []

    for start in sorted(graph):
        if circle := walk(start, []):
            return circle
    return []


def sources() -> Iterator[Path]:
    for folder in SOURCES:
        yield from sorted((ROOT / folder).rglob("*.py"))


class StoreyTests(SynchronousTestCase):
    """
    Who imports whom.
    """

    def test_storeys(self) -> None:
        """
        A module imports from its own folder and from lower storeys, nothing else of ours.
        """
        wrong = []
        for module, file in MODULES.items():
            for imported, line in imports_of(module, ast.parse(file.read_text())):
                if imported.split(".")[0] == "dfproxy" and (reason := wrong_import(module, imported)):
                    wrong.append(f"{file.relative_to(ROOT)}:{line} imports {imported}: {reason}")
        self.assertEqual(wrong, [])

    def test_storeys_are_judged(self) -> None:
        """
        The judgement above sees an import upwards, sideways, into uv and out of it, and one under TYPE_CHECKING.
        """
        self.assertEqual(wrong_import("dfproxy.frontend.http1", "dfproxy.exchange.exchange"), "")
        self.assertEqual(wrong_import("dfproxy.workers.worker", "dfproxy.uv.reactor"), "")
        self.assertEqual(wrong_import("dfproxy.interfaces", "dfproxy.model.ending"), "")
        self.assertIn("upwards", wrong_import("dfproxy.routing.table", "dfproxy.control.apply"))
        self.assertIn("upwards", wrong_import("dfproxy.model.service", "dfproxy.interfaces"))
        self.assertIn("sideways", wrong_import("dfproxy.upstream.pool", "dfproxy.tls.store"))
        self.assertIn("only", wrong_import("dfproxy.exchange.relay", "dfproxy.uv.transport"))
        self.assertIn("nothing of ours", wrong_import("dfproxy.uv.transport", "dfproxy.errors"))
        self.assertIn("no storey", wrong_import("dfproxy.common.x", "dfproxy.errors"))
        text = "if TYPE_CHECKING:\n    from dfproxy.control import apply\ndef f():\n    import dfproxy.api.root"
        found = imports_of("dfproxy.wire.h1", ast.parse(text), {"dfproxy.control.apply"})
        self.assertEqual(list(found), [("dfproxy.control.apply", 2), ("dfproxy.api.root", 4)])

    def test_no_circle(self) -> None:
        """
        Imports make no circle, not even among the modules of one folder.
        """
        graph = {
            module: {name for name, _ in imports_of(module, ast.parse(file.read_text())) if name in MODULES} - {module}
            for module, file in MODULES.items()
        }
        self.assertEqual(find_circle(graph), [])
        self.assertEqual(find_circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}), ["a", "b", "c", "a"])

    def test_reactor(self) -> None:
        """
        Nobody imports the global reactor but the places that choose it: all others are given one.
        """
        wrong = []
        for module, file in MODULES.items():
            if module in REACTOR_IMPORTERS or room_of(module) == "uv":
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                if (
                    isinstance(node, ast.ImportFrom)
                    and node.module == "twisted.internet"
                    and "reactor" in [alias.name for alias in node.names]
                ) or (isinstance(node, ast.Import) and "twisted.internet.reactor" in [a.name for a in node.names]):
                    wrong.append(f"{file.relative_to(ROOT)}:{node.lineno}")
        self.assertEqual(wrong, [])

    def test_packages_say_what_they_are(self) -> None:
        """
        An __init__.py holds a docstring and nothing that runs, but for the version and the search path of plugins.
        """
        wrong = []
        for module, file in MODULES.items():
            if file.name != "__init__.py" or module in ("dfproxy", "dfproxy.plugins"):
                continue
            body = ast.parse(file.read_text()).body
            if not (len(body) == 1 and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)):
                wrong.append(module)
        self.assertEqual(wrong, [])
        for folder in ("twisted", "twisted/plugins"):
            self.assertFalse((ROOT / folder / "__init__.py").exists(), f"{folder} must stay without __init__.py")


class PairTests(SynchronousTestCase):
    """
    Which test belongs to which module.
    """

    def test_each_module_has_its_tests(self) -> None:
        """
        dfproxy/<folder>/<module>.py is tested by tests/unit/<folder>/test_<module>.py.
        """
        missing = []
        for module, file in MODULES.items():
            inside = file.relative_to(PACKAGE)
            if file.name == "__init__.py" or module in WITHOUT_TESTS:
                continue
            wanted = ROOT / "tests" / "unit" / inside.parent / f"test_{inside.name}"
            if not wanted.exists():
                missing.append(str(wanted.relative_to(ROOT)))
        self.assertEqual(missing, [])

    def test_each_test_folder_is_a_package(self) -> None:
        """
        A folder of tests without __init__.py would silently not be run.
        """
        folders = {file.parent for file in (ROOT / "tests").rglob("test_*.py")}
        self.assertEqual([str(f.relative_to(ROOT)) for f in sorted(folders) if not (f / "__init__.py").exists()], [])

    def test_each_test_is_in_a_suite(self) -> None:
        """
        Every test module is in exactly one suite of `make test`.
        """
        wrong = []
        for file in sorted((ROOT / "tests").rglob("test_*.py")):
            name = module_name(file)
            suites = [s.name for s in SUITES for t in s.tests if name == t or name.startswith(f"{t}.")]
            if len(suites) != 1:
                wrong.append(f"{name}: {suites}")
        self.assertEqual(wrong, [])


class TextTests(SynchronousTestCase):
    """
    What every file must say, or must not.
    """

    def test_long_modules_say_why(self) -> None:
        """
        A module past 500 lines says in its docstring why it is still "one thing".
        """
        wrong = []
        for file in sources():
            text = file.read_text()
            if len(text.splitlines()) > LINES_LIMIT:
                said = ast.get_docstring(ast.parse(text)) or ""
                if "one thing" not in said:
                    wrong.append(str(file.relative_to(ROOT)))
        self.assertEqual(wrong, [])

    def test_modules_have_docstrings(self) -> None:
        """
        Every module says what it is for.
        """
        silent = [str(f.relative_to(ROOT)) for f in sources() if ast.get_docstring(ast.parse(f.read_text())) is None]
        self.assertEqual(silent, [])

    def test_excuses_have_reasons(self) -> None:
        """
        A `type: ignore` or `noqa` names its code and a reason; a TODO its issue.
        """
        bare = (
            re.compile(r"#\s*type:\s*ignore(?!\[[\w, -]+\]\s+(#\s*)?\S)"),
            re.compile(r"#\s*noqa(?!:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*\s+(#\s*)?\S)"),
            re.compile(r"#.*\bTODO\b(?!\(#\d+\))"),
        )
        wrong = []
        for file in sources():
            if file == Path(__file__).resolve():
                continue
            for number, line in enumerate(file.read_text().splitlines(), 1):
                if any(pattern.search(line) for pattern in bare):
                    wrong.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()}")
        self.assertEqual(wrong, [])

    def test_no_module_is_exempt_from_types(self) -> None:
        """
        The settings of mypy excuse no module of ours, and no module excuses itself.
        """
        settings = (ROOT / "setup.cfg").read_text()
        for word in ("ignore_errors", "follow_imports", "exclude", "disallow_untyped_defs", r"\[mypy-dfproxy"):
            self.assertIsNone(re.search(f"^{word}", settings, re.M), word)
        self.assertIn("strict = True", settings)
        excused = [str(f.relative_to(ROOT)) for f in MODULES.values() if re.search(r"^#\s*mypy:", f.read_text(), re.M)]
        self.assertEqual(excused, [])


class RequirementTests(SynchronousTestCase):
    """
    What is imported is what is required.
    """

    MODULES = {"libpass": "passlib", "pyOpenSSL": "OpenSSL", "zope.interface": "zope"}  # where it has another name

    def test_nothing_is_imported_that_is_not_required(self) -> None:
        """
        A fresh install has every package that the proxy imports, and none that it does not.
        """
        imported = set()
        for file in PACKAGE.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names.append(node.module)
                imported.update(name.partition(".")[0] for name in names)
        setup = ConfigParser()
        setup.read(ROOT / "setup.cfg")
        required = [re.split(r"[\[>=]", line)[0] for line in setup["options"]["install_requires"].split()]
        modules = {self.MODULES.get(name, name.replace("-", "_")) for name in required}
        self.assertEqual(imported - set(sys.stdlib_module_names) - {"dfproxy"}, modules)
