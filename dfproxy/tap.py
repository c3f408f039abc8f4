"""
The command line: `twistd dfproxy [options]` becomes `Settings`, and `Settings` become a service.

Reads the surroundings (variables, secrets, processors) once and hands them on. No reactor is imported here: which one
there is must be open until the options are read.

Source: the table `dfproxy.dfp.options`; Twisted's `usage.Options`.
"""

from __future__ import annotations

import getopt
import os
import pwd
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NoReturn
from urllib.parse import urlencode

from twisted.application.service import IService
from twisted.logger import Logger
from twisted.python import usage

from dfproxy.dfp.options import BY_NAME, GROUPS, OPTIONS, Option
from dfproxy.dfp.settings import default_protocol, deferred, files_named, read_settings, secrets_dir
from dfproxy.discovery.environment import files_named as service_files
from dfproxy.discovery.environment import services_of_variables, unread, with_secrets, without_secrets
from dfproxy.discovery.secrets import read_secrets
from dfproxy.errors import DfproxyError, InvalidSettings
from dfproxy.model.settings import Settings
from dfproxy.workers.heritage import Command, first_variables, receive

EXAMPLE = """\
Example: an API on port 8080, HTTP on port 8000, and one service from the start:

  twistd -n dfproxy --default-ports 8000 --resolve go-demo=127.0.0.1 \\
      --service 'serviceName=go-demo&servicePath=/demo&port=9000'

Each option may also be given as the environment variable or secret that docs/options.md names.
"""

SHEBANG_BYTES = 512
"""
Longest first line of a script that is read; the kernel reads 256.
"""

log = Logger()

# Twisted leaves its options unannotated; mypy takes calls of them for untyped otherwise.
_Base: Any = usage.Options


class Options(usage.Options):
    """
    Options of `twistd dfproxy`, all from the one table.

    After parsing, `settings` holds what was understood and `deferred` a line for each option without effect yet.
    """

    synopsis = "[options]"
    longdesc = EXAMPLE
    optParameters = [[option.name, None, None, option.help] for option in OPTIONS if not option.repeats]
    optFlags = [
        ["check-config", None, "print what was understood and exit"],
        ["check-start", None, "start beside one that runs, serve nothing, print what was found and exit"],
    ]

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        config_text_dir: str = "/cfg",
        cpus: int | None = None,
    ) -> None:
        """
        Args:
            environment: variables; None: those of the process.
            config_text_dir: the table is kept as text in this folder if it exists and nothing else is said.
            cpus: processors; None: those that this process may use.
        """
        _Base.__init__(self)
        self._environment = dict(os.environ if environment is None else environment)
        self._folder = os.getcwd()
        self._cpus = len(os.sched_getaffinity(0)) if cpus is None else cpus
        if os.path.isdir(config_text_dir) and not self._environment.get("CONFIG_TEXT"):
            self._environment["CONFIG_TEXT"] = os.path.join(config_text_dir, "haproxy.cfg")
        self.settings = Settings()
        self.deferred: tuple[str, ...] = ()
        self._given: dict[str, object] = {}

    def parseOptions(self, options: Any = None) -> None:
        """
        Read the command line.

        Under twistd a wrong one ends the process here, with its problems only: twistd would print the whole help first.

        Raises:
            usage.UsageError: with one line for each problem, unless twistd asked.
        """
        if self.parent is None:
            _Base.parseOptions(self, options)
            return
        try:
            _Base.parseOptions(self, options)
        except usage.UsageError as error:
            _exit_with(str(error).splitlines())

    def parseArgs(self, *arguments: str) -> None:
        """
        There are none beside options.
        """
        if arguments:
            raise usage.UsageError(f"{arguments[0]}: is no option; --help lists them")

    def postOptions(self) -> None:
        """
        Make settings of everything that was given.
        """
        given = {name: value for name, value in self.items() if name in BY_NAME}
        self._given = given
        try:
            secrets = self._secrets()
            self.settings = self._read(secrets)
            self.deferred = deferred(given, self._environment, secrets) + unread(self._environment, secrets)
            mode = default_protocol(given, self._environment, secrets)
        except InvalidSettings as invalid:
            raise usage.UsageError(str(invalid)) from invalid
        variables = with_secrets(self._environment, secrets)
        declared = tuple(urlencode(pairs) for pairs in services_of_variables(variables, mode))
        self.settings = replace(self.settings, services=declared + self.settings.services)
        if self["check-config"]:
            raise SystemExit(self._print_understood())
        if self["check-start"]:
            raise SystemExit(self._print_proof())

    def again(self) -> Settings:
        """
        What the settings would be if we started now with the same options and variables: secrets may be others. Those
        of services that are declared are not. Blocks.

        Raises:
            InvalidSettings: with every problem.
        """
        return self._read(self._secrets())

    def _read(self, secrets: Mapping[str, str]) -> Settings:
        return read_settings(self._given, self._environment, secrets, self._cpus, os.geteuid() == 0)

    def _secrets(self) -> dict[str, str]:
        """
        Secrets by file name, and files that variables name by path.
        """
        files = (*files_named(self._environment), *service_files(self._environment))
        return read_secrets(secrets_dir(self._given, self._environment), files)

    def _print_understood(self) -> int:
        """
        Everything but secrets.

        Returns:
            The exit status: 1 if the proxy would not start, or leave a service out.
        """
        from dfproxy.daemon.options import check  # the rest of the house: not needed for reading options
        from dfproxy.discovery.checking import problems

        settings = self.settings
        for name, field in settings.__dataclass_fields__.items():
            if name != "limits" and field.repr:  # those without hold secrets
                value = getattr(settings, name)
                shown = tuple(map(without_secrets, value)) if name == "services" else value
                sys.stdout.write(f"{name} = {shown!r}\n")
        sys.stdout.write(f"user_lists = {tuple(name for name, _ in settings.user_lists)!r}\n")
        for name in settings.limits.__dataclass_fields__:
            sys.stdout.write(f"limits.{name} = {getattr(settings.limits, name)!r}\n")
        for line in self.deferred:
            sys.stdout.write(f"note: {line}\n")
        found = problems(settings, check)
        for line in found:
            sys.stdout.write(f"problem: {line}\n")
        return 1 if found else 0

    def _print_proof(self) -> int:
        """
        Whether we would start, and what with: one line of JSON.

        Returns:
            The exit status.
        """
        twistd: Any = self.parent or {}
        file, folder = twistd.get("logfile"), twistd.get("rundir") or "."
        if (
            file
            and file != "-"
            and not os.access(file if os.path.exists(file) else os.path.dirname(file) or ".", os.W_OK)
        ):
            _exit_with([f"--logfile {file}: cannot be written"])
        if not os.access(folder, os.X_OK):
            _exit_with([f"--rundir {folder}: cannot be entered"])
        try:
            from dfproxy.rehearsal import rehearse  # imports the reactor, and all there is

            sys.stdout.write(f"{rehearse(self.settings, self.again)}\n")
        except DfproxyError as error:
            _exit_with(str(error).splitlines())
        return 0

    def command(self) -> Command | None:
        """
        How this process was started, so that it can be started again in its place; None: not in a way we know.
        """
        twistd: Any = self.parent
        if twistd is None or twistd.get("chroot"):
            return None
        return command_of(
            twistd, sys.executable, sys.orig_argv, sys.argv[1:], self._folder, interpreter_of(sys.orig_argv[:2])
        )

    def getUsage(self, width: int | None = None) -> str:
        """
        The help: options by group, an example, and the strategies, orders and conditions found.
        """
        columns = max(60, width or shutil.get_terminal_size().columns)
        parts = [f"Usage: twistd [twistd options] dfproxy {self.synopsis}\n"]
        for group in GROUPS:
            parts.append(f"\n{group}:\n")
            parts += (_help(option, columns) for option in OPTIONS if option.group == group)
        parts.append("\nAbout this program:\n")
        parts.append(_entry("--check-config", "print what was understood and exit", columns))
        parts.append(_entry("--check-start", "prove that this starts beside one that runs, print it and exit", columns))
        parts.append(_entry("--version", "print the version and exit", columns))
        parts.append(_entry("--help", "print this and exit", columns))
        parts.append(f"\n{self.longdesc}\n")
        parts.append(_plugins_found(self.get("plugins") or ()))
        return "".join(parts)

    def opt_version(self) -> NoReturn:
        """
        Print the version and exit.
        """
        from dfproxy import __version__

        sys.stdout.write(f"dfproxy {__version__}\n")
        raise SystemExit(0)


def _repeatable(option: Option) -> Callable[[Options, str], None]:
    """
    The method that `usage.Options` looks for, for an option that may come several times.
    """

    def opt(self: Options, value: str) -> None:
        self.opts.setdefault(option.name, []).append(value)

    opt.__doc__ = option.help
    return opt


for _option in OPTIONS:
    if _option.repeats:
        setattr(Options, f"opt_{_option.name.replace('-', '_')}", _repeatable(_option))


def makeService(options: Options) -> IService:
    """
    Build everything and say what is without effect yet.

    Raises:
        SystemExit: something cannot be built; its one line is on standard error.
    """
    # Imports the reactor, which must not happen before the options are read.
    from dfproxy.daemon.proxy import make_service

    for line in options.deferred:
        log.warn("{line}", line=line)
    try:
        # Descriptors that are ours by number: seen to before anything else is opened, and told to no child.
        heritage = receive(os.environ, first_variables())
        command = options.command() if heritage.left is None else heritage.left.command
        service: IService = make_service(
            options.settings, _owner(options.parent), options.again, heritage, command, os.environ
        )
        return service
    except DfproxyError as error:
        _exit_with(str(error).splitlines())


def _owner(twistd: Any) -> tuple[int, int] | None:
    """
    User and group that twistd changes to before we serve; None: it does not.
    """
    uid = None if twistd is None else twistd.get("uid")
    if uid is None:
        return None
    gid = twistd.get("gid")
    return uid, pwd.getpwuid(uid).pw_gid if gid is None else gid


def interpreter_of(words: Iterable[str]) -> bool:
    """
    Whether these two words of a command line are an interpreter and a script that names it in its first line: then the
    script, executed, finds its interpreter by itself, also that of another version.
    """
    interpreter, *script = words
    if len(script) != 1 or not os.access(script[0], os.X_OK):
        return False
    try:
        with open(script[0], "rb") as file:
            line = file.readline(SHEBANG_BYTES)
    except OSError:
        return False
    return line[:2] == b"#!" and os.fsdecode(line[2:].strip()) == interpreter


def command_of(
    twistd: Any, executable: str, whole: list[str], arguments: list[str], folder: str, by_script: bool
) -> Command | None:
    """
    The command line that starts us again, in the foreground: the process is where it has to be already.

    Args:
        twistd: its options.
        executable: of the interpreter.
        whole: the command line with the interpreter.
        arguments: its part that twistd reads.
        folder: where relative paths began.
        by_script: the script finds its interpreter by itself.
    """
    try:
        _, rest = getopt.getopt(arguments, twistd.shortOpt, twistd.longOpt)
    except getopt.GetoptError:
        return None
    if not rest or rest[0] != twistd.subCommand:
        return None
    place = len(arguments) - len(rest)
    own = whole[: len(whole) - len(arguments)]
    # The last one counts. The file of the process id stays as it is, and twistd must not take us for another one.
    ours = ["--nodaemon", "--pidfile="]
    if not twistd["nodaemon"] and not twistd["logfile"] and not twistd["syslog"]:
        ours.append("--logfile=twistd.log")
    before = [*(own[1:] if by_script else [executable, *own[1:]]), *arguments[:place], *ours, rest[0]]
    program = os.path.join(folder, before[0]) if by_script else executable
    log_file = "" if twistd["syslog"] else twistd["logfile"] or ("" if twistd["nodaemon"] else "twistd.log")
    log_file = "" if log_file == "-" else log_file and os.path.join(folder, log_file)
    return Command(program, tuple(before), tuple(rest[1:]), folder, twistd["pidfile"] or "", log_file)


def _exit_with(problems: Iterable[str]) -> NoReturn:
    """
    End the process with these lines on standard error.
    """
    for line in problems:
        sys.stderr.write(f"dfproxy: {line}\n")
    raise SystemExit(1)


def _help(option: Option, columns: int) -> str:
    default = f" [{option.default}]" if option.default else ""
    later = f"; {option.later}" if option.later else ""
    return _entry(f"--{option.name} {option.kind}", f"{option.help}{default}{later}", columns)


def _entry(left: str, right: str, columns: int) -> str:
    """
    One option of the help: its form, and beside or below it what it means.
    """
    lines = textwrap.wrap(right, columns - 36)
    head = f"  {left:<33} "
    if len(left) > 33:
        head = f"  {left}\n{' ' * 36}"
    return head + f"\n{' ' * 36}".join(lines) + "\n"


def _plugins_found(folders: Iterable[str]) -> str:
    """
    Strategies, orders and conditions that may be named, including those of further folders.
    """
    try:
        from dfproxy.control.strategies import Strategies
    except ImportError as error:
        # The help must work even where a dependency of the rest is broken.
        return f"Strategies are not known: {error}\n"
    return f"{Strategies.load(tuple(folders)).summary().rstrip()}\n"
