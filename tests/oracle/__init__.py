"""
HAProxy as the oracle: it runs the `config` text of a live dfproxy, and both are asked the same.
"""
