"""
`make run`: the proxy and three small servers behind it, on this machine.
"""
