"""What the process that decodes one clip may still do, on Linux: read that clip, compute and answer. No package that is
kept up offers this on the kernels in use, so here are Landlock's two calls and a filter of system calls (seccomp).

The filter is what counts: a call that is not listed fails, so there is no opening of files, no network and no program.
Landlock takes away the same files and TCP ports by another part of the kernel, and signals to other processes. On
machines whose calls are not listed here the program `bwrap` is put around the process, if it is installed."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import signal
import struct
import subprocess
import sys
from functools import cache

# Numbers of the calls that Python, FFmpeg and OpenCV make while they decode, from the kernel's tables.
ALLOWED = {
    "x86_64": {
        "read": 0, "write": 1, "close": 3, "poll": 7, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11,
        "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "pread64": 17, "readv": 19,
        "writev": 20, "sched_yield": 24, "mremap": 25, "madvise": 28, "nanosleep": 35, "alarm": 37, "setitimer": 38,
        "getpid": 39, "exit": 60, "ftruncate": 77, "getrusage": 98, "sysinfo": 99, "sigaltstack": 131, "gettid": 186,
        "futex": 202, "sched_getaffinity": 204, "restart_syscall": 219, "clock_gettime": 228, "clock_getres": 229,
        "clock_nanosleep": 230, "exit_group": 231, "ppoll": 271, "set_robust_list": 273, "getrandom": 318,
        "membarrier": 324, "rseq": 334,
    },
    "aarch64": {
        "read": 63, "write": 64, "close": 57, "lseek": 62, "mmap": 222, "mprotect": 226, "munmap": 215,
        "brk": 214, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "pread64": 67, "readv": 65,
        "writev": 66, "sched_yield": 124, "mremap": 216, "madvise": 233, "nanosleep": 101, "setitimer": 103,
        "getpid": 172, "exit": 93, "ftruncate": 46, "getrusage": 165, "sysinfo": 179, "sigaltstack": 132,
        "gettid": 178, "futex": 98, "sched_getaffinity": 123, "restart_syscall": 128, "clock_gettime": 113,
        "clock_getres": 114, "clock_nanosleep": 115, "exit_group": 94, "ppoll": 73, "set_robust_list": 99,
        "getrandom": 278, "membarrier": 283, "rseq": 293,
    },
}  # fmt: skip
# The architecture as the kernel tells it to a filter, and the calls that are allowed with certain arguments alone.
ARCHITECTURE = {
    "x86_64": (0xC000003E, {"clone": 56, "tgkill": 234}),
    "aarch64": (0xC00000B7, {"clone": 220, "tgkill": 131}),
}
_CLONE3, _THREAD = 435, 0x10000  # CLONE_THREAD: a thread of this process, not another
_KILL, _ALLOW, _REFUSE, _UNKNOWN = 0x80000000, 0x7FFF0000, 0x50001, 0x50026  # EPERM, ENOSYS
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06  # instructions of the kernel's filters
_NUMBER, _ARCHITECTURE, _ARGUMENT = 0, 4, 16  # where a filter finds them; the lower half of the first argument
_PDEATHSIG, _DUMPABLE, _GET_SECCOMP, _SECCOMP, _NO_NEW_PRIVILEGES = 1, 4, 21, 22, 38  # of prctl
_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # Landlock's calls have these numbers on every machine
# Rights over files, TCP ports and other processes that each version of Landlock can take away, by the first to know it.
_LANDLOCK = {1: (0x1FFF, 0, 0), 2: (0x3FFF, 0, 0), 3: (0x7FFF, 0, 0), 4: (0x7FFF, 3, 0), 5: (0xFFFF, 3, 0),
             6: (0xFFFF, 3, 3)}  # fmt: skip


def can_filter() -> bool:
    return platform.machine() in ALLOWED and ctypes.CDLL(None).prctl(_GET_SECCOMP, *[ctypes.c_ulong(0)] * 4) >= 0


@cache
def container() -> tuple[str, ...]:
    """`bwrap` and what keeps a command from files and network, where the filter cannot be had and it works; else ()."""
    program = None if can_filter() else shutil.which("bwrap")
    if program is None:
        return ()
    alone = ["--unshare-all", "--die-with-parent", "--new-session", "--proc", "/proc", "--dev", "/dev"]
    known = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", sys.base_prefix, sys.prefix)
    around = (program, *alone, *(word for folder in known for word in seen(folder)))
    works = subprocess.run([*around, sys.executable, "-c", ""], capture_output=True).returncode == 0
    return around if works else ()


def seen(folder: str) -> tuple[str, ...]:
    """That a command in a `container` may read a folder, if it is there."""
    return "--ro-bind-try", folder, folder


def keep_no_core() -> None:
    """No image of this process, or of one forked from it, is ever written, and no other may look into it."""
    _prctl(_DUMPABLE, 0)


def end_with(parent: int) -> None:
    """End this forked process when its parent does."""
    _prctl(_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def confine() -> list[str]:
    """Give up everything but the open files and threads, for good; which of the two means are in force."""
    _prctl(_NO_NEW_PRIVILEGES, 1)  # without it both are for root alone
    version, machine = _landlock(), platform.machine()  # Landlock first, since the filter refuses its calls
    in_force = [f"Landlock {version}"] if version else []
    if machine in ALLOWED and _filtered(system_call_filter(machine, os.getpid())):
        in_force.append("seccomp")
    return in_force


def _prctl(option: int, value: int) -> bool:
    return ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), *[ctypes.c_ulong(0)] * 3) == 0


def _landlock() -> int:
    """Take every right that this kernel's version of Landlock knows; the version, 0 without one."""
    call = ctypes.CDLL(None).syscall
    version = call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    if version < 1:
        return 0
    rights = struct.pack("=3Q", *_LANDLOCK[min(version, max(_LANDLOCK))])
    rules = call(_CREATE_RULESET, rights, ctypes.c_size_t(len(rights)), ctypes.c_uint(0))
    in_force = rules >= 0 and call(_RESTRICT_SELF, rules, ctypes.c_uint(0)) == 0
    if rules >= 0:
        os.close(rules)
    return version if in_force else 0


def system_call_filter(machine: str, process: int) -> bytes:
    """The filter as the kernel takes it. `process` may send signals to itself, as abort() does."""

    def step(code: int, value: int, if_so: int = 0, if_not: int = 0) -> bytes:
        return struct.pack("=HBBI", code, if_so, if_not, value)

    architecture, special = ARCHITECTURE[machine]
    allow, number = step(_RETURN, _ALLOW), step(_LOAD, _NUMBER)
    steps = [step(_LOAD, _ARCHITECTURE), step(_EQUAL, architecture, 1), step(_RETURN, _KILL), number]
    for allowed in ALLOWED[machine].values():
        steps += [step(_EQUAL, allowed, 0, 1), allow]
    for name, code, value in (("clone", _ANY_BIT, _THREAD), ("tgkill", _EQUAL, process)):
        steps += [step(_EQUAL, special[name], 0, 4), step(_LOAD, _ARGUMENT), step(code, value, 0, 1), allow]
        steps += [step(_RETURN, _REFUSE)]
    # clone3 keeps its flags where no filter can see them; a C library that is told that there is none takes clone.
    steps += [step(_EQUAL, _CLONE3, 0, 1), step(_RETURN, _UNKNOWN), step(_RETURN, _REFUSE)]
    return b"".join(steps)


def _filtered(steps: bytes) -> bool:
    class Program(ctypes.Structure):
        _fields_ = (("steps", ctypes.c_ushort), ("address", ctypes.c_char_p))

    program = Program(len(steps) // 8, steps)
    call = ctypes.CDLL(None).prctl
    return call(_SECCOMP, ctypes.c_ulong(2), ctypes.byref(program), ctypes.c_ulong(0), ctypes.c_ulong(0)) == 0
