"""
Which route a request takes: matches compiled to predicates, one order of routes, and the table that is looked up.
"""
