"""What a process may deny itself, on top of what the container denies it: memory secrecy and a system call filter.

The filter closes what container engines leave open in their default profiles: socket families that reach the
hypervisor or little-used kernel code (vsock, alg …), io_uring, ptrace, 32-bit system calls. It also closes what they
deny by themselves, for drivers without an engine: namespaces, mounts, modules. And it keeps hands off process 1, the
supervisor: Linux keeps most signals from it anyway, gVisor does not. It cannot be taken off.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from dataclasses import dataclass

_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2

_FAMILIES = (1, 2, 10, 16)
"""unix, inet, inet6, netlink: the last is how the C library lists network interfaces."""

# Classic BPF: opcode, jump if true, jump if false, operand. See linux/filter.h and linux/seccomp.h.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


@dataclass(frozen=True)
class _Machine:
    """An instruction set's audit number, and its numbers of the system calls that matter here."""

    audit: int
    socket: tuple[int, ...]
    clone: int
    at_a_process: tuple[int, ...]
    denied: tuple[int, ...]


# Denied, in each machine's first line: ptrace, personality, add_key, request_key, keyctl, process_vm_readv and writev,
# bpf, userfaultfd, perf_event_open; in its second: unshare, setns, mount, umount2, pivot_root, chroot, swapon, swapoff,
# reboot, sethostname, setdomainname, settimeofday; in its third: init_module, delete_module, finit_module, kexec_load,
# kexec_file_load, syslog, acct, quotactl, lookup_dcookie, fanotify_init, name_to_handle_at, open_by_handle_at.
# ``at_a_process``, denied where the first argument is 1: kill, tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo,
# prlimit64, sched_setaffinity, sched_setparam, sched_setscheduler, sched_setattr.
_MACHINES = {
    "x86_64": _Machine(
        0xC000003E,
        (41, 53),
        56,
        (62, 200, 234, 129, 297, 302, 203, 142, 144, 314),
        (
            *(101, 135, 248, 249, 250, 310, 311, 321, 323, 298),
            *(272, 308, 165, 166, 155, 161, 167, 168, 169, 170, 171, 164),
            *(175, 176, 313, 246, 320, 103, 163, 179, 212, 300, 303, 304),
            *(154, 172, 173),  # modify_ldt, iopl, ioperm
        ),
    ),
    "aarch64": _Machine(
        0xC00000B7,
        (198, 199),
        220,
        (129, 130, 131, 138, 240, 261, 122, 118, 119, 274),
        (
            *(117, 92, 217, 218, 219, 270, 271, 280, 282, 241),
            *(97, 268, 40, 39, 41, 51, 224, 225, 142, 161, 162, 170),
            *(105, 106, 273, 104, 294, 116, 89, 60, 18, 262, 264, 265),
        ),
    ),
}
_DENIED_EVERYWHERE = (425, 426, 427, 428, 429, 430, 431, 432, 433, 438, 442)
"""io_uring's three, the mount calls from open_tree to fspick, pidfd_getfd, mount_setattr."""
_CLONE3 = 435
"""Its flags are in memory, where no filter can look. The C library falls back on clone."""
_NEW_NAMESPACES = 0x7E020000
_SUPERVISOR = 1
_X32 = 0x40000000
"""Numbers from here on are x86-64's second, little-used set of system calls."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def harden() -> None:
    """Hides this process's memory from others of its user and installs the filter. Children inherit both.

    Raises ``OSError``, and ``KeyError`` on an instruction set that the filter does not know.
    """
    _prctl(_PR_SET_DUMPABLE, 0)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    code = _filter(_MACHINES[os.uname().machine])
    program = _Program(len(code) // 8, code)
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(program))


def become_kernel() -> None:
    """Makes this process and its children yield the CPU to the supervisor, and the first that run out of memory.

    It must be dumpable to write its own score; nothing in it is secret from the code that it runs.
    """
    os.nice(19)
    _prctl(_PR_SET_DUMPABLE, 1)
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def _filter(machine: _Machine) -> bytes:
    def step(code: int, operand: int, then: int = 0, otherwise: int = 0) -> bytes:
        return struct.pack("HBBI", code, then, otherwise, operand)

    def refuse(number: int) -> bytes:
        return step(_RETURN, _ERRNO | number)

    program = [
        step(_LOAD, _ARCHITECTURE),
        step(_EQUAL, machine.audit, 1, 0),
        refuse(errno.ENOSYS),
        step(_LOAD, _NUMBER),
        step(_AT_LEAST, _X32, 0, 1),
        refuse(errno.ENOSYS),
    ]
    for number in (*machine.denied, *_DENIED_EVERYWHERE):
        program += [step(_EQUAL, number, 0, 1), refuse(errno.EPERM)]
    for number in machine.at_a_process:
        program += [
            step(_EQUAL, number, 0, 4),
            step(_LOAD, _FIRST_ARGUMENT),
            step(_EQUAL, _SUPERVISOR, 0, 1),
            refuse(errno.EPERM),
            step(_RETURN, _ALLOW),
        ]
    program += [
        step(_EQUAL, _CLONE3, 0, 1),
        refuse(errno.ENOSYS),
        step(_EQUAL, machine.clone, 0, 4),
        step(_LOAD, _FIRST_ARGUMENT),
        step(_ANY_BIT, _NEW_NAMESPACES, 0, 1),
        refuse(errno.EPERM),
        step(_RETURN, _ALLOW),
    ]
    first, second = machine.socket
    program += [
        step(_EQUAL, first, 2, 0),
        step(_EQUAL, second, 1, 0),
        step(_RETURN, _ALLOW),
        step(_LOAD, _FIRST_ARGUMENT),
    ]
    for family in _FAMILIES:
        program += [step(_EQUAL, family, 0, 1), step(_RETURN, _ALLOW)]
    return b"".join([*program, refuse(errno.EAFNOSUPPORT)])


def _prctl(option: int, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    if libc.prctl(option, *words) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")
