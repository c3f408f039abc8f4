"""
New connections in turn to each of the sockets that share an address, by a small program in the kernel.

The kernel's own choice is a hash of the addresses, and with few connections it is uneven: with eight on four workers
the busiest has twice its share. The program counts and takes the next one: exactly even. Loading it needs CAP_BPF
(root has it; containers usually not): without it the hash stays.

Source: `bpf(2)`; `socket(7)` SO_ATTACH_REUSEPORT_EBPF; linux/bpf.h for the numbers.
"""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import struct

_SYSCALL = {"x86_64": 321, "aarch64": 280}
_MAP_CREATE, _PROG_LOAD = 0, 5
_MAP_ARRAY, _SOCKET_FILTER = 2, 1
_SO_ATTACH_REUSEPORT_EBPF = 52
_SO_DETACH_REUSEPORT_BPF = 68

_INSTRUCTION = struct.Struct("@BBhi")
_R0, _R1, _R2, _R10 = 0, 1, 2, 10


def _instruction(code: int, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return _INSTRUCTION.pack(code, source << 4 | target, offset, value)


def _program(map_fd: int, count: int) -> bytes:
    """
    `return counter++ % count`, with the counter in the only cell of a map.
    """
    return b"".join(
        (
            _instruction(0x62, _R10, offset=-4),  # the key, 0, on the stack
            _instruction(0xBF, _R2, _R10),
            _instruction(0x07, _R2, value=-4),
            _instruction(0x18, _R1, 1, value=map_fd),  # a 64-bit constant takes two; 1: it is the descriptor of a map
            _instruction(0),
            _instruction(0x85, value=1),  # map_lookup_elem
            _instruction(0x15, _R0, offset=4),  # never: an array has all its cells
            _instruction(0xB7, _R1, value=1),
            _instruction(0xDB, _R0, _R1, value=1),  # atomic: *r0 += r1, r1 is what it was
            _instruction(0xBF, _R0, _R1),
            _instruction(0x97, _R0, value=count),
            _instruction(0x95),
        )
    )


def load(count: int) -> int:
    """
    Load the program for so many sockets.

    Returns:
        Its descriptor, to be closed by the caller; the sockets keep the program.

    Raises:
        OSError: we may not, or this kernel cannot.
    """
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise OSError(f"not known how on {platform.machine()}")
    map_fd = _bpf(number, _MAP_CREATE, struct.pack("@IIII", _MAP_ARRAY, 4, 8, 1))
    try:
        code, licence = _program(map_fd, count), b"Apache-2.0\0"
        program, words = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(licence)
        about = struct.pack("@IIQQ", _SOCKET_FILTER, len(code) // 8, ctypes.addressof(program), ctypes.addressof(words))
        return _bpf(number, _PROG_LOAD, about)
    finally:
        os.close(map_fd)


def attach(opened: socket.socket, program: int) -> None:
    """
    Use the program for the address of this socket. All that share the address must listen already.

    Raises:
        OSError: the kernel does not want to.
    """
    opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_EBPF, program)


def detach(opened: socket.socket) -> None:
    """
    Leave the address of this socket to the kernel's own choice again; everybody may.

    Raises:
        OSError: there is no program, or the kernel is older than 5.3.
    """
    opened.setsockopt(socket.SOL_SOCKET, _SO_DETACH_REUSEPORT_BPF, 0)


def _bpf(number: int, command: int, about: bytes) -> int:
    room = ctypes.create_string_buffer(about, 128)
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor: int = libc.syscall(number, command, room, len(room))
    if descriptor < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    os.set_inheritable(descriptor, False)
    return descriptor
