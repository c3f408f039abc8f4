"""
One test module for each module of dfproxy, in a folder of the same name.
"""
