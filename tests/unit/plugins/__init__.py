"""
The built-in plugins keep the contracts that anyone's do.
"""
