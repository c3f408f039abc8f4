"""
HAProxy's little language in header rules: words, log formats, sample fetches, converters, conditions. Pure.
"""
