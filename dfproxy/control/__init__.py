"""
Changing what runs: the one door, plugins, preparing and committing.
"""
