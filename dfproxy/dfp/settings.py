"""
Options, secrets and variables become `Settings`, or a list of everything that is wrong with them.

Pure: what the operator gave comes in as mappings, once, at start. `dfproxy.dfp.options` says which options there are.
Run as a program it prints `docs/options.md`.

Source: DFP's environment and secrets; design of the command line.
"""

from __future__ import annotations

import os.path
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from dfproxy.dfp.option_values import ports, unheeded
from dfproxy.dfp.options import BY_NAME, NOT_APPLICABLE, OPTIONS, Option, markdown
from dfproxy.dfp.parameters import TABLE
from dfproxy.dfp.rawtext import RawText, read_raw
from dfproxy.dfp.steps import compressed
from dfproxy.dfp.users import global_users, wrong_hash
from dfproxy.errors import InvalidBalance, InvalidSettings, Problem
from dfproxy.expressions.subject import Surroundings
from dfproxy.model.listener import Listener
from dfproxy.model.service import Balance
from dfproxy.model.settings import AccessLines, Limits, Settings, Statistics, Tls
from dfproxy.model.steps import User

ROOT_STATE_DIR = "/var/lib/dfproxy"
"""
State folder of a proxy that runs as root (FHS: state of programs).
"""

SHOWN_CHARACTERS = 100
"""
How much of a wrong value is repeated in the problem.
"""

DATA_PORT = 80
"""
`STATS_PORT` that means: no port of their own.
"""

RENAMED = ("stats-user", "stats-pass", "stats-uri")
"""
Options whose variable may have another name, which the variable with `_ENV` at its end says.
"""

USERS_SECRET = "dfp_users_"
"""
What the names of secrets with users of services begin with.
"""


@dataclass(frozen=True, slots=True)
class Given:
    """
    What an operator gave for one option.

    Attributes:
        option: which.
        spelled: how it was given: `--port`, `PORT`, `secret dfp_port`.
        texts: the text, several for a repeatable option.
    """

    option: Option
    spelled: str
    texts: tuple[str, ...]


def read_settings(
    options: Mapping[str, object],
    environment: Mapping[str, str],
    secrets: Mapping[str, str],
    cpus: int = 1,
    is_root: bool = False,
) -> Settings:
    """
    Everything the operator chose; for each option the first of: option, secret, variable, default.

    Args:
        options: by name without dashes; None or absent: not given. A repeatable one is a list.
        environment: variables; empty counts as not given.
        secrets: contents by file name (`dfp_port`), or by path for files that a `..._FILE` variable names.
        cpus: processors that `--workers auto` counts.
        is_root: whether the process may write where root may.

    Raises:
        InvalidSettings: with every problem.
    """
    problems = [Problem(f"--{name}", "", "there is no such option") for name in options if name not in BY_NAME]
    chosen: dict[str, Any] = {}
    for option in options_of(environment):
        try:
            given = _given(option, options, environment, secrets)
        except _Unreadable as unreadable:
            problems.append(unreadable.problem)
            continue
        if given is not None:
            _parse(given, chosen, problems)
    settings = _assemble(chosen, environment, max(1, cpus), is_root, problems)
    settings = replace(settings, user_lists=_user_lists(secrets), environment=_askable(environment))
    settings = _with_front(settings, chosen.get("extra-frontend", ""), problems)
    if problems:
        raise InvalidSettings(tuple(problems))
    return settings


def _with_front(settings: Settings, text: str, problems: list[Problem]) -> Settings:
    """
    What the lines for every request say; each that is refused is a problem of its own.
    """
    raw = front_text(text, settings)
    problems += [Problem("EXTRA_FRONTEND", "", reason) for reason in raw.problems]
    limits: dict[str, Any] = {
        name: raw.times_s[directive]
        for directive, name in (
            ("timeout client", "client_timeout_s"),
            ("timeout http-request", "head_timeout_s"),
            ("timeout http-keep-alive", "keep_alive_timeout_s"),
        )
        if directive in raw.times_s
    }
    found = replace(settings.limits, **limits)
    if raw.connections is not None:
        found = replace(found, client_connections=raw.connections)
    return replace(settings, front_lines=tuple(raw.lines), limits=found)


def front_text(text: str, settings: Settings) -> RawText:
    """
    `EXTRA_FRONTEND`, read.
    """

    def no_balance(text: str) -> Balance:
        raise InvalidBalance("a frontend does not balance")

    surroundings = Surroundings(dict(settings.environment))
    return read_raw(text, "frontend", surroundings, no_balance, settings.errorfiles_dir)


def deferred(
    options: Mapping[str, object], environment: Mapping[str, str], secrets: Mapping[str, str]
) -> tuple[str, ...]:
    """
    One line for each option that was given, differs from its default and has no effect yet.

    Args are those of `read_settings`, which has accepted them.
    """
    found = []
    for option in OPTIONS:
        given = _given(option, options, environment, secrets) if option.later else None
        if given is not None and not _is_default(given):
            found.append(f"{given.spelled}: {option.later} ({option.help})")
    front = _given(BY_NAME["extra-frontend"], options, environment, secrets)
    if front is not None:
        raw = front_text(front.texts[0], Settings(environment=_askable(environment)))
        found += [f"{front.spelled}: {note}" for note in raw.notes]
    for name in ("default-ports", "bind-ports"):
        given = _given(BY_NAME[name], options, environment, secrets)
        if given is not None:
            found += [f"{given.spelled}: {line}" for line in unheeded(ports(given.texts[0]))]
    user, password = (
        _given(option, options, environment, secrets)
        for option in options_of(environment)
        if option.name in ("stats-user", "stats-pass")
    )
    if (user is None) != (password is None):
        lone, other = (user, "password") if user is not None else (password, "user")
        assert lone is not None
        found.append(f"{lone.spelled}: no statistics without a {other}; say none to let everybody see them")
    return tuple(found)


def options_of(environment: Mapping[str, str]) -> tuple[Option, ...]:
    """
    All options, those among `RENAMED` with the variable that holds them (DFP `STATS_USER_ENV`).
    """

    def renamed(option: Option) -> Option:
        name = environment.get(f"{option.variable}_ENV", "") if option.name in RENAMED else ""
        return replace(option, variable=name) if name else option

    return tuple(map(renamed, OPTIONS))


def secrets_dir(options: Mapping[str, object], environment: Mapping[str, str]) -> str:
    """
    Where secrets are to be read from: needed before the secrets themselves.
    """
    given = options.get("secrets-dir")
    return str(given) if given is not None else environment.get("SECRETS_DIR") or Settings().secrets_dir


def default_protocol(options: Mapping[str, object], environment: Mapping[str, str], secrets: Mapping[str, str]) -> str:
    """
    `reqMode` of services that variables declare without one; empty: not given.

    Args are those of `read_settings`, which has accepted them.
    """
    given = _given(BY_NAME["default-protocol"], options, environment, secrets)
    return "" if given is None else str(given.option.parse(given.texts[0]))


def files_named(environment: Mapping[str, str]) -> tuple[str, ...]:
    """
    Paths that `..._FILE` variables name; their contents belong into the secrets that `read_settings` takes.
    """
    named = (option for option in options_of(environment) if _has_file_form(option))
    paths = (environment.get(f"{option.variable}_FILE", "") for option in named)
    return tuple(path for path in paths if path)


class _Unreadable(Exception):
    """
    A variable names a file whose content nobody could read.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.reason)
        self.problem = problem


_VARIABLES = frozenset(option.variable for option in OPTIONS)


def _has_file_form(option: Option) -> bool:
    # CA_FILE is no variable CA with a suffix, but one of its own.
    return f"{option.variable}_FILE" not in _VARIABLES


def _given(
    option: Option, options: Mapping[str, object], environment: Mapping[str, str], secrets: Mapping[str, str]
) -> Given | None:
    """
    What was given for this option, by the strongest source that gave something.
    """
    value = options.get(option.name)
    if value is not None and value != [] and value != ():
        texts = tuple(map(str, value)) if isinstance(value, list | tuple) else (_as_text(value),)
        return Given(option, f"--{option.name}", texts)
    secret = secrets.get(option.secret, "").rstrip("\r\n")
    if secret:
        return Given(option, f"secret {option.secret}", _split(option, secret))
    path = environment.get(f"{option.variable}_FILE", "") if _has_file_form(option) else ""
    if path:
        if path not in secrets:
            raise _Unreadable(Problem(f"{option.variable}_FILE", path, "cannot be read"))
        content = secrets[path].rstrip("\r\n")
        if content:
            return Given(option, f"{option.variable}_FILE", _split(option, content))
    text = environment.get(option.variable, "")
    if text:
        return Given(option, option.variable, _split(option, text))
    return None


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _split(option: Option, text: str) -> tuple[str, ...]:
    if not option.repeats:
        return (text,)
    parts = text.split() if option.repeats == " " else text.split(option.repeats)
    return tuple(part for part in parts if part.strip())


def _parse(given: Given, chosen: dict[str, Any], problems: list[Problem]) -> None:
    """
    Put the value under the option's name, or say what is wrong with it.
    """
    values = []
    for text in given.texts:
        try:
            values.append(given.option.parse(text))
        except ValueError as error:
            if given.option.later.startswith(NOT_APPLICABLE):
                continue  # `deferred` tells of it: what has no effect must not keep a stack of DFP's from starting
            shown = "(not shown)" if given.option.hidden else _one_line(text)
            problems.append(Problem(given.spelled, shown, str(error)))
    if given.option.repeats:
        chosen[given.option.name] = tuple(values)
    elif values:
        chosen[given.option.name] = values[0]


def _one_line(text: str) -> str:
    """
    A value as it is shown: short, and without what would break a line or a terminal.
    """
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:SHOWN_CHARACTERS])
    return shown if len(text) <= SHOWN_CHARACTERS else f"{shown}..."


def _is_default(given: Given) -> bool:
    try:
        return given.option.parse(given.texts[0]) == given.option.parse(given.option.default)
    except ValueError:
        return False


def _user_lists(secrets: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """
    Secrets that `usersSecret` may name.
    """
    others = {option.secret for option in OPTIONS}
    lists = (name for name in secrets if name.startswith(USERS_SECRET) and name not in others)
    return tuple(sorted((name.removeprefix(USERS_SECRET), secrets[name]) for name in lists))


def _askable(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """
    What header rules may ask for (`env(NAME)`): all variables but the secrets among our own, and those of services
    that may hold some (`DFP_SERVICE_1_USERS`).
    """
    private = tuple(row.variable for row in TABLE if row.secret)
    environment = {
        name: value
        for name, value in environment.items()
        if not (name.startswith("DFP_SERVICE_") and any(word in name for word in private))
    }
    secret = {option.variable for option in (*OPTIONS, *options_of(environment)) if option.hidden}
    return tuple(sorted((name, value) for name, value in environment.items() if name not in secret))


def _assemble(
    chosen: dict[str, Any], environment: Mapping[str, str], cpus: int, is_root: bool, problems: list[Problem]
) -> Settings:
    """
    Put the values in their places, and check what concerns several of them.
    """
    plain: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    tls: dict[str, Any] = {}
    places = {"": plain, "limits": limits, "tls": tls}
    for option in OPTIONS:
        if option.target and option.name in chosen:
            place, _, attribute = option.target.rpartition(".")
            places[place][attribute] = chosen[option.name]
    workers = chosen.get("workers")
    plain["workers"] = cpus if workers is None else workers
    plain["access_log"], plain["access_lines"] = _access_log(chosen)
    plain["in_swarm"] = chosen.get("mode") == "swarm"
    plain["listeners"] = _listeners(chosen, problems)
    plain["addresses"] = tuple(chosen.get("bind-address", ())) or ("",)
    plain["users"] = _users(chosen, problems)
    plain["compression"] = compressed(chosen.get("compression-algo", ()), chosen.get("compression-type", ()))
    if "state_dir" not in plain:
        plain["state_dir"] = _state_dir(environment, is_root, problems)
    _check_names(plain.get("names", ()), problems)
    plain["tls"] = replace(cast(Tls, chosen.get("ssl-bind-options", Tls())), **tls)
    plain["statistics"] = _statistics(chosen, plain["listeners"], problems)
    settings = Settings(**plain, limits=Limits(**limits))
    _check_api(settings, problems)
    return settings


def _access_log(chosen: Mapping[str, Any]) -> tuple[str, AccessLines]:
    """
    Where access lines go, and how they look. DFP: `DEBUG=true` writes one httplog line for each request to standard
    output.
    """
    where, form = cast(tuple[str, str], chosen.get("access-log", ("", "json")))
    prefix = ""
    if "access-log" not in chosen and chosen.get("debug"):
        where, form, prefix = "-", "httplog", "HAPRoxy: "
    return where, AccessLines(
        form,
        prefix,
        bool(chosen.get("debug-errors-only")),
        chosen.get("debug-http-format", ""),
        chosen.get("debug-tcp-format", ""),
        chosen.get("capture-request-header", ()),
    )


def _statistics(
    chosen: Mapping[str, Any], listeners: tuple[Listener, ...], problems: list[Problem]
) -> Statistics | None:
    """
    The statistics page, if both user and password are given; `none` for one of them: everybody may see it.
    """
    user, password, port = chosen.get("stats-user", ""), chosen.get("stats-pass", ""), chosen.get("stats-port")
    if not user or not password:
        return None
    is_open = "none" in (user.lower(), password.lower())
    if not is_open and ":" in user:
        problems.append(Problem("--stats-user", "(not shown)", "a colon ends the name: browsers cannot send it"))
    uri = chosen.get("stats-uri", Statistics().uri)
    alone: tuple[Listener, ...] = ()
    if port is not None and port != DATA_PORT:
        if any(port == listener.port for listener in listeners):
            reason = "is a port of the data plane; without this option the statistics are on all of its ports"
            problems.append(Problem("--stats-port", str(port), reason))
        addresses = chosen.get("bind-address", ()) or ("",)
        alone = tuple(Listener(address, port, statistics=True) for address in addresses)
    return Statistics(uri, "" if is_open else user, "" if is_open else password, is_open, alone)


def _users(chosen: dict[str, Any], problems: list[Problem]) -> tuple[User, ...]:
    """
    The users of all services; a hash that nobody could ever verify is a mistake.
    """
    users = global_users(chosen.get("users", ""), chosen.get("users-pass-encrypted", False))
    problems += [Problem("--users", "(not shown)", reason) for user in users if (reason := wrong_hash(user))]
    return users


def _listeners(chosen: dict[str, Any], problems: list[Problem]) -> tuple[Listener, ...]:
    """
    Each port on each address. The same port twice is one if it is the same in all, else a problem.
    """
    ports = (*chosen.get("default-ports", Settings().listeners), *chosen.get("bind-ports", ()))
    bound: dict[tuple[str, int], Listener] = {}
    found: list[Listener] = []
    for address in chosen.get("bind-address", ()) or ("",):
        for port in ports:
            listener = Listener(address, port.port, port.tls, port.options)
            former = bound.get((address, port.port))
            if former is None or port.port == 0:
                bound[(address, port.port)] = listener
                found.append(listener)
            elif former != listener:
                reason = "is given twice with different options, in --default-ports and --bind-ports together"
                problems.append(Problem("--bind-ports", str(port.port), reason))
    return tuple(found)


def _state_dir(environment: Mapping[str, str], is_root: bool, problems: list[Problem]) -> str:
    """
    The folder of state when none is given (XDG base directories for users).
    """
    if is_root:
        return ROOT_STATE_DIR
    state_home = environment.get("XDG_STATE_HOME", "")
    if os.path.isabs(state_home):
        return os.path.join(state_home, "dfproxy")
    home = environment.get("HOME", "")
    if os.path.isabs(home):
        return os.path.join(home, ".local", "state", "dfproxy")
    problems.append(Problem("--state-dir", "", "give a folder: there is no home folder to put it in"))
    return ""


def _check_names(names: tuple[tuple[str, tuple[str, ...]], ...], problems: list[Problem]) -> None:
    seen: set[str] = set()
    for name, _ in names:
        if name in seen:
            problems.append(Problem("--resolve", name, "is given twice; give all its addresses at once"))
        seen.add(name)


def _check_api(settings: Settings, problems: list[Problem]) -> None:
    """
    The API cannot have a port that the data plane binds.
    """
    everywhere = ("", "0.0.0.0", "::")  # noqa: S104  compared with, not bound
    for listener in settings.bound:
        overlap = (
            settings.api_address == listener.address
            or settings.api_address in everywhere
            or listener.address in everywhere
        )
        if settings.api_port and settings.api_port == listener.port and overlap:
            reason = "is also a port of the data plane; choose another for one of them"
            problems.append(Problem("--port", str(settings.api_port), reason))
            return


if __name__ == "__main__":
    sys.stdout.write(markdown())
