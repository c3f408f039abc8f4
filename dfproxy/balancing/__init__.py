"""
Which server answers: one family of strategies in each module.
"""
