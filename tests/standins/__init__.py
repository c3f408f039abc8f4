"""
Stand-ins for other programs, which behave as those were seen to.
"""
