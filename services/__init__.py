"""What Footfall's processes are and share.

A folder here is a process; a file here is what processes share.
No process imports another (``tests/test_architecture.py`` holds this).
"""
