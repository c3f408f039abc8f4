"""
Where strategies, route orders and route conditions are found: a Twisted plugin package.

Any folder `dfproxy/plugins` without an `__init__.py` below an entry of `sys.path` belongs to it, and each folder
given with `--plugins` (`dfproxy.control.strategies`). The modules here register what is built in, like anyone's.
"""

from __future__ import annotations

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))

__all__: list[str] = []  # a plugin package offers nothing to import
