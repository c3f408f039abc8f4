"""
A Twisted reactor whose TCP and TLS connections are uvloop's own transports.

Stands by itself: nothing here knows dfproxy, any Twisted program may use it.
"""
