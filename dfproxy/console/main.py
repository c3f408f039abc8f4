"""
`dfproxy COMMAND ...`: the commands, their options, and help that teaches.

Exit status: 0 done; 1 refused, or not all is well; 2 it could not be asked, or was asked wrongly.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from dfproxy import __version__
from dfproxy.console import importing
from dfproxy.console.calling import Answer, Unreachable, address, fetch
from dfproxy.console.importing import CannotRead
from dfproxy.control.strategies import Strategies
from dfproxy.control.tokens import Tokens
from dfproxy.dfp.parameters import BY_LOWER_NAME, BY_NAME
from dfproxy.errors import InvalidSettings
from dfproxy.model.settings import Settings

DONE, REFUSED, FAILED = 0, 1, 2

DEFAULT_API = "http://127.0.0.1:8080"

TIMEOUT_S = 60.0
"""
How long a command may take: a change waits for names for two seconds, a dry run of thousands of services takes some.
"""

DESCRIPTION = """\
Talks to the control API of a running dfproxy (or reads a Docker Flow Proxy, with `import`).
The proxy itself is started with `twistd dfproxy`; `twistd dfproxy --help` tells how.
"""

EPILOG = """\
examples:
  dfproxy publish go-demo servicePath=/demo port=8080      requests for /demo go to the tasks of go-demo
  dfproxy publish go-demo servicePath=/demo port=8080 --dry-run
                                                           what that would change, and nothing is changed
  dfproxy explain http://acme.com/demo/hello               which service, route and server, and why not another
  dfproxy config --json go-demo                            how it was published
  dfproxy remove go-demo
  dfproxy import dfp http://old-proxy:8080                 what would change for a Docker Flow Proxy's services

The API is that of --api, of the variable DFPROXY_API, or http://127.0.0.1:8080. In a stack:
  docker exec $(docker ps -qf name=proxy) dfproxy explain http://acme.com/demo
Exit status: 0 done, 1 refused or not all is well, 2 the API could not be asked, or the command is wrong.
"""


def build_parser() -> argparse.ArgumentParser:
    """
    All commands and options.
    """
    parser = _parser("dfproxy", DESCRIPTION, EPILOG)
    parser.add_argument("--version", action="version", version=f"dfproxy {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_add_publish, _add_remove, _add_config, _add_explain, _add_import):
        add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run one command.

    Args:
        arguments: of the command line; None: those of the process.

    Returns:
        The exit status.
    """
    options = build_parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except (Unreachable, CannotRead, WrongCommand) as error:
        sys.stderr.write(f"dfproxy: {error}\n")
        return FAILED
    except BrokenPipeError:  # such as `| head`
        return DONE
    except KeyboardInterrupt:
        return 130


class WrongCommand(Exception):
    """
    Something that cannot be meant; the text says what would be right.
    """


# --- publish and remove ----------------------------------------------------------------------------------------


def _add_publish(commands: Any) -> None:
    parser = _command(
        commands,
        "publish",
        "publish a service, or change how it is published",
        """\
A service is defined as a whole: parameters that were given before and are not given now are gone.
Every parameter stands in docs/parameters.md; those that most services need:
  servicePath=/demo        paths that begin so; several with commas
  serviceDomain=acme.com   Host begins so; *.acme.com is every subdomain
  port=8080                where its containers listen
  servicePath.1=/a port.1=80 servicePath.2=/b port.2=81   several routes
  endpoints=10.0.0.5:80,10.0.0.6:80   servers by address instead of by the service's name
""",
    )
    parser.add_argument(
        "name", metavar="SERVICE", help="serviceName: its key, and the name that its servers are found by"
    )
    parser.add_argument("parameters", metavar="NAME=VALUE", nargs="*", help="parameters of reconfigure")
    parser.add_argument("--dry-run", action="store_true", help="tell what would change, and change nothing")
    parser.add_argument(
        "--unknown", action="store_true", help="let names pass that are no parameters, as labels may be"
    )
    _add_api(parser)
    parser.set_defaults(run=_publish)


def _publish(options: argparse.Namespace) -> int:
    pairs = [("serviceName", options.name), *(_pair(text, options.unknown) for text in options.parameters)]
    if options.dry_run:
        pairs.append(("dryRun", "true"))
    answer = _ask(options, "reconfigure", pairs)
    return _tell_change(options, answer, f"{options.name} is in force", f"{options.name} would be accepted")


def _pair(text: str, unknown: bool) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise WrongCommand(f"{text!r} is no NAME=VALUE; write it as servicePath=/demo")
    base = name.partition(".")[0].lower()
    if not unknown and base not in BY_LOWER_NAME and base not in ("distribute", "dryrun"):
        close = get_close_matches(name.partition(".")[0], BY_NAME, 1)
        hint = f"; is {close[0]} meant?" if close else ""
        raise WrongCommand(f"{name} is no parameter{hint} (docs/parameters.md has all; --unknown lets it pass)")
    return name, value


def _add_remove(commands: Any) -> None:
    parser = _command(commands, "remove", "take services away", "A service that is not there is no error.\n")
    parser.add_argument("names", metavar="SERVICE", nargs="+", help="serviceName of what goes")
    parser.add_argument("--dry-run", action="store_true", help="tell what would change, and change nothing")
    _add_api(parser)
    parser.set_defaults(run=_remove)


def _remove(options: argparse.Namespace) -> int:
    worst = DONE
    for name in options.names:
        pairs = [("serviceName", name), *([("dryRun", "true")] if options.dry_run else [])]
        answer = _ask(options, "remove", pairs)
        worst = max(worst, _tell_change(options, answer, f"{name} is gone", f"{name} would be gone"))
    return worst


def _tell_change(options: argparse.Namespace, answer: Answer, done: str, would_be: str) -> int:
    told = answer.json()
    if options.json:
        _print(json.dumps(told, indent=2))
        return DONE if answer.status < 300 else REFUSED
    if answer.status >= 300:
        _print(f"refused ({answer.status}): {told.get('Message', '')}")
        for problem in told.get("Problems") or ():
            value = f" (given: {problem['Value']})" if problem.get("Value") else ""
            _print(f"  {problem.get('Parameter', '')}: {problem.get('Reason', '')}{value}")
        return REFUSED
    revision = (told.get("Revision") or {}).get("Number", "?")
    _print(f"{would_be}; nothing has changed" if options.dry_run else f"{done} (revision {revision})")
    message = told.get("Message")
    if message:
        _print(f"  {message}")
    for warning in told.get("Warnings") or ():
        _print(f"  warning: {warning}")
    if "Difference" in told:
        _print(json.dumps(told["Difference"], indent=2))
    return DONE


# --- config and explain ----------------------------------------------------------------------------------------


def _add_config(commands: Any) -> None:
    parser = _command(
        commands,
        "config",
        "show what is in force",
        "In HAProxy's words, or with --json how each service was published, without secrets.\n",
    )
    parser.add_argument("names", metavar="SERVICE", nargs="*", help="only these (with --json)")
    _add_api(parser)
    parser.set_defaults(run=_config)


def _config(options: argparse.Namespace) -> int:
    if not options.json:
        if options.names:
            raise WrongCommand("single services are shown with --json only; grep use_backend shows their routes")
        _print(_ask(options, "config").body.decode("utf-8", "replace").rstrip("\n"))
        return DONE
    told = _ask(options, "config", [("type", "json")]).json()
    missing = [name for name in options.names if name not in told]
    for name in missing:
        sys.stderr.write(f"dfproxy: {name} is not published\n")
    wanted = {name: told[name] for name in options.names if name in told} if options.names else told
    _print(json.dumps(wanted, indent=2))
    return REFUSED if missing else DONE


def _add_explain(commands: Any) -> None:
    parser = _command(
        commands,
        "explain",
        "tell where a request would go, and why",
        """\
The request is not sent, nothing is counted, and no balancer goes on: the server that is named is the one that the next
such request gets, from the worker that was asked. Routes that come before it are listed with the condition that failed.
""",
    )
    parser.add_argument("url", metavar="URL", help="such as http://acme.com/demo/hello?x=1")
    parser.add_argument("-X", "--method", default="GET", help="method [GET]")
    parser.add_argument(
        "-H", "--header", action="append", default=[], metavar="NAME:VALUE", help="a header; repeatable"
    )
    parser.add_argument("--port", help="port that the client connects to [that of the scheme]")
    parser.add_argument("--client", metavar="ADDRESS", help="IP address of the client [127.0.0.1]")
    _add_api(parser)
    parser.set_defaults(run=_explain)


def _explain(options: argparse.Namespace) -> int:
    pairs = [("url", options.url), ("method", options.method), *(("header", one) for one in options.header)]
    pairs += [(name, value) for name in ("port", "client") if (value := getattr(options, name))]
    answer = _ask(options, "explain", [*pairs, ("format", "json" if options.json else "text")])
    if answer.status != 200:
        return _tell_change(argparse.Namespace(json=options.json, dry_run=False), answer, "", "")
    _print(json.dumps(answer.json(), indent=2) if options.json else answer.body.decode("utf-8", "replace").rstrip("\n"))
    return DONE


# --- import ----------------------------------------------------------------------------------------------------


def _add_import(commands: Any) -> None:
    parser = _command(
        commands,
        "import",
        "tell what would change for a running Docker Flow Proxy's services",
        """\
Nothing is sent to any proxy: the services are read, and it is told which would be accepted as they are, which would be
refused and why, which would behave differently, and which routes never get a request.
  dfproxy import dfp http://old-proxy:8080     asks it for config?type=json
  dfproxy import dfsl http://swarm-listener:8080   asks Docker Flow Swarm Listener for get-services: what labels say,
                                               with the wildcards of domains that DFP forgets
  dfproxy import dfp services.json             the same from a file (or - for standard input), without a network
Exit status: 0 every service is accepted, 1 some are not (with --strict: or something differs), 2 nothing could be read.
""",
    )
    parser.add_argument("kind", choices=("dfp", "dfsl"), help="what is asked at a URL without path")
    parser.add_argument("source", metavar="URL|FILE|-", help="where the services are")
    parser.add_argument("--separator", default=",", help="SEPARATOR of the proxy, if it has one of its own [,]")
    parser.add_argument("--route-order", default="dfp", help="order of routes to judge by: dfp or specific [dfp]")
    parser.add_argument(
        "--strict", action="store_true", help="exit with 1 as well if anything would behave differently"
    )
    parser.add_argument("--plugins", action="append", default=[], metavar="DIR", help="a folder of plugins; repeatable")
    parser.add_argument("--json", action="store_true", help="the report for programs")
    parser.add_argument("--timeout", type=float, default=TIMEOUT_S, metavar="SECONDS", help=f"for all [{TIMEOUT_S:g}]")
    parser.set_defaults(run=_import)


def _import(options: argparse.Namespace) -> int:
    strategies = Strategies.load(tuple(options.plugins))
    if options.route_order not in strategies.orders:
        known = ", ".join(sorted(strategies.orders))
        raise WrongCommand(f"--route-order={options.route_order} is not known; there are: {known}")
    settings = Settings(separator=options.separator, route_order=options.route_order)
    content = importing.read_source(options.source, options.kind, options.timeout)
    report = importing.report_on(content, options.source, settings, strategies)
    if options.json:
        _print(json.dumps(importing.as_json(report, options.strict), indent=2))
    else:
        for line in importing.lines(report, options.strict):
            _print(line)
    return report.status(options.strict)


# --- what all share --------------------------------------------------------------------------------------------


def _command(commands: Any, name: str, summary: str, text: str) -> Any:
    return commands.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.\n\n{text}", formatter_class=_Plain
    )


def _parser(prog: str, description: str, epilog: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=prog, description=description, epilog=epilog, formatter_class=_Plain)


class _Plain(argparse.RawDescriptionHelpFormatter):
    """
    Keeps the lines of examples.
    """


def _add_api(parser: argparse.ArgumentParser) -> None:
    api = os.environ.get("DFPROXY_API") or DEFAULT_API  # noqa: TID251  a command of people, read once at its start
    parser.add_argument("--api", default=api, metavar="URL", help=f"the control API [{api}]")
    token = os.environ.get("DFPROXY_API_TOKEN_FILE") or ""  # noqa: TID251  likewise
    parser.add_argument(
        "--api-token-file", dest="token_file", default=token, metavar="FILE", help="its first line is the API's token"
    )
    parser.add_argument("--json", action="store_true", help="print the API's answer")
    parser.add_argument("--timeout", type=float, default=TIMEOUT_S, metavar="SECONDS", help=f"for all [{TIMEOUT_S:g}]")


def _ask(options: argparse.Namespace, verb: str, pairs: Iterable[tuple[str, str]] = ()) -> Answer:
    fields: tuple[str, ...] = ()
    if options.token_file:
        try:
            tokens = Tokens(options.token_file)
            tokens.read()
        except InvalidSettings as error:
            raise WrongCommand(str(error)) from error
        fields = tuple(f"{name}: {value}" for name, value in tokens.fields().items())
    return fetch(address(options.api, verb, pairs), options.timeout, headers=fields)


def _print(text: str) -> None:
    sys.stdout.write(text.encode("utf-8", "replace").decode() + "\n")


if __name__ == "__main__":
    sys.exit(main())
