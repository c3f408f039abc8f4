"""
What is wrong with options beyond the options themselves: plugins that do not exist, services that would be left out.

For `--check-config`; nothing is started.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from dfproxy.control.strategies import Strategies
from dfproxy.control.templatefiles import template_text
from dfproxy.dfp.reconfigure import name_of, read
from dfproxy.discovery.environment import services_of_query
from dfproxy.errors import InvalidRoute, InvalidService, InvalidSettings
from dfproxy.exchange.steps import Tools, compile_steps
from dfproxy.model.settings import Settings
from dfproxy.routing.compile import TableBuilder
from dfproxy.routing.table import EMPTY


def problems(settings: Settings, check: Callable[[Settings, Strategies], object]) -> tuple[str, ...]:
    """
    A line for each problem; none: the proxy starts with these options, and with every service.

    Args:
        check: what is looked at before the start; raises `InvalidSettings`.
    """
    strategies = Strategies.load(settings.plugin_dirs)
    try:
        check(settings, strategies)
    except InvalidSettings as error:
        return tuple(str(error).splitlines())
    return tuple(_services(settings, strategies))


def _services(settings: Settings, strategies: Strategies) -> Iterator[str]:
    key = strategies.orders[settings.route_order].key
    builder = TableBuilder(EMPTY, key, strategies.conditions)
    names: set[str] = set()
    for query in settings.services:
        pairs = services_of_query(query)
        name = name_of(pairs, ())
        if name in names:
            yield f"service {name}: is declared twice; the last one holds"
        names.add(name)
        try:
            template = partial(template_text, settings=settings)
            reading = read(pairs, (), settings, strategies.parse_balance, strategies.check_condition, template)
            service = reading.service
            if service is not None:
                builder.add(service, [object() for _ in service.destinations])
                for destination in service.destinations:
                    compile_steps(destination.steps, destination.backend_name, Tools())
        except (InvalidService, InvalidRoute) as error:
            yield f"service {name}: {error}"
