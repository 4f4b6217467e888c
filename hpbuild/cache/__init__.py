"""A content-addressed store of results that can be made again: typed values in flat files, no pickle.

Nothing that proves or verifies reads it.
"""
