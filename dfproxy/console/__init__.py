"""
The command `dfproxy`: the control API for people at a terminal.
"""
