"""
The daemon: control plane and data plane put together, and what twistd starts, upgrades and stops.
"""
