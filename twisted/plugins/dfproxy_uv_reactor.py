"""
Makes `--reactor uv` known to twistd and trial.
"""

from twisted.application.reactors import Reactor

uv = Reactor("uv", "dfproxy.uv.reactor", "uvloop's own TCP and TLS transports under Twisted's interfaces.")
