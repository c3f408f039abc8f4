"""
The control API, over real twisted.web.
"""
