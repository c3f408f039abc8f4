"""
dfproxy: a reverse proxy for Docker Swarm that changes its routes while it runs.
"""

__version__ = "0.1.0.dev0"
