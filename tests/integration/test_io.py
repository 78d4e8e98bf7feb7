"""The back ends: which one serves is told, and where io_uring may not be used, epoll serves instead."""
import ctypes
import errno
import os

import pytest

from wire import wait_until

RESPOND = {"routes": [{"match": {"path": "/"}, "respond": {"body": "hello"}}]}
IO_URING_SETUP = 425
LIBC = ctypes.CDLL(None, use_errno=True)


def kernel_has_uring():
    fd = LIBC.syscall(IO_URING_SETUP, 1, ctypes.create_string_buffer(120))
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def check_serves_on(running, backend):
    assert [labels["backend"] for labels, _ in running.metrics().find("weir_io_backend_info")] == [backend]
    wait_until(lambda: f"({backend}, " in running.stderr(), "the log tells the back end")
    assert running.get("/").body == b"hello"


@pytest.mark.parametrize("io, backend", [("epoll", "epoll"), ("auto", "epoll"), ("uring", "uring")])
def test_the_chosen_back_end_serves(weir, io, backend):
    if io == "uring" and not kernel_has_uring():
        pytest.skip("this kernel does not let io_uring be used")
    running = weir({"io": io, **RESPOND})
    check_serves_on(running, backend)
    assert "falling back" not in running.stderr()


def forbid(call, error):
    """A seccomp filter for this process and its children: the call fails with that error."""
    class Instruction(ctypes.Structure):
        _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint)]

    class Program(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.POINTER(Instruction))]

    load, jump_equal, answer = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
    instructions = (Instruction * 4)(Instruction(load, 0, 0, 0), Instruction(jump_equal, 0, 1, call),
                                     Instruction(answer, 0, 0, 0x00050000 | error), Instruction(answer, 0, 0, 0x7fff0000))
    program = Program(4, instructions)
    set_no_new_privileges, set_seccomp, filter_mode = 38, 22, 2
    if LIBC.prctl(set_no_new_privileges, 1, 0, 0, 0) or LIBC.prctl(set_seccomp, filter_mode, ctypes.byref(program)):
        raise OSError(ctypes.get_errno(), "seccomp")


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS])
def test_epoll_serves_where_seccomp_forbids_io_uring(weir, error):
    running = weir({"io": "uring", **RESPOND}, preexec_fn=lambda: forbid(IO_URING_SETUP, error))
    check_serves_on(running, "epoll")
    assert f"io_uring cannot be used: a ring cannot be set up: {os.strerror(error)}; falling back to epoll" \
        in running.stderr()
