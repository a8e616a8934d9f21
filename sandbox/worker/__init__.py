"""The program inside every session: a supervisor (PID 1), and a kernel that it forks to run the cells.

It runs on the image's Python, imports nothing but ``sandbox.frames``, and trusts the kernel no more than the server
trusts it: the code of a cell can do to the kernel what it likes.
"""
