"""Memory that faults when it is touched outside, and the processor's floating-point mode. Needs a POSIX system."""
from __future__ import annotations

import ctypes
import mmap
import platform

import numpy as np

PAGE = mmap.PAGESIZE
CANARY = 0xA5
MARGIN = PAGE               # bytes watched on the side of an array that has no guard page


class Arena:
    """Pages for one array between two pages that may not be touched."""

    def __init__(self, pages: int):
        self.size = pages * PAGE
        self.map = mmap.mmap(-1, self.size + 2 * PAGE)
        self.bytes = np.frombuffer(self.map, np.uint8)[PAGE:-PAGE]
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
        for guard in (self.bytes.ctypes.data - PAGE, self.bytes.ctypes.data + self.size):
            if libc.mprotect(guard, PAGE, 0):
                raise OSError(ctypes.get_errno(), "mprotect")

    def place(self, array: np.ndarray, at_end: bool) -> np.ndarray:
        """A copy of an array that ends right before, or begins right after, a page that may not be touched."""
        assert array.nbytes + MARGIN <= self.size
        if at_end:
            room, self.around = self.bytes[-array.nbytes or self.size:], self.bytes[-array.nbytes - MARGIN:][:MARGIN]
        else:
            room, self.around = self.bytes[:array.nbytes], self.bytes[array.nbytes:][:MARGIN]
        self.around[:] = CANARY
        copy = room.view(array.dtype).reshape(array.shape)
        copy[...] = array
        return copy

    def untouched_around(self) -> bool:
        """Whether the bytes on the open side of the array still are as `place` left them."""
        return bool((self.around == CANARY).all())


def mxcsr():
    """The control bits of MXCSR of this thread (denormals, rounding, traps; not the flags); None if they cannot be read."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return None
    try:
        code = mmap.mmap(-1, PAGE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except (OSError, PermissionError):
        return None
    code.write(bytes.fromhex("0fae1fc3"))           # stmxcsr [rdi]; ret
    value = ctypes.c_uint32()
    read = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
    read(ctypes.addressof(value))
    return value.value & ~0x3F
