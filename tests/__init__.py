"""
The tests: `unit` mirrors dfproxy/ file by file, `e2e` runs real parts, the rest guards the tree itself.
"""
