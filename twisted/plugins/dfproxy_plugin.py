"""
Makes `twistd dfproxy` known to Twisted. There is no __init__.py in this folder or the one above, and must not be.
"""

from twisted.application.service import ServiceMaker

dfproxy = ServiceMaker("dfproxy", "dfproxy.tap", "A reverse proxy whose routes change while it runs", "dfproxy")
