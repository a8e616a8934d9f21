"""Heaps of the C library, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys

from tools_runtime.app import memory

PROGRAM = """
import ctypes, runpy, sys, threading

if sys.argv[1] == "bounded":
    runpy.run_path(sys.argv[2])["bound_arenas"]()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
meet = threading.Barrier(16)

def work():
    meet.wait()
    for _ in range(1000):
        libc.malloc(1000)
    meet.wait()

threads = [threading.Thread(target=work) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


def heaps(how: str, **variables: str) -> int:
    """How many heaps a process has whose sixteen threads all want memory."""
    usual = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    command = [sys.executable, "-c", PROGRAM, how, memory.__file__]
    told = subprocess.run(command, env=usual | variables, capture_output=True, text=True, check=True)
    return told.stdout.count("<heap nr=")


def test_threads_share_two_heaps_unless_the_environment_says_otherwise() -> None:
    assert heaps("unbounded") > 4
    assert heaps("bounded") <= 2
    assert heaps("bounded", MALLOC_ARENA_MAX="6") > 2
