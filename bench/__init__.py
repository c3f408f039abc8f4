"""
`make bench`: dfproxy against HAProxy, nginx and Twisted's own reverse proxy, in one run on loopback.

Absolute figures depend on the machine and on its mood; ratios within a round hardly do. So the proxies take
turns (A B C A B C ...), each ratio is taken within a round, and the median of the rounds is what counts.
"""
