"""The child of `gpu_check`: takes memory on the first GPU it sees, says so, and holds it until its input ends.

It takes what is there: plain calls of the driver's libcuda, else PyTorch, else CuPy.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Callable
from typing import Any


def main() -> int:
    amount = int(sys.argv[1])
    failures: list[str] = []
    for name, take in (("libcuda", _with_libcuda), ("torch", _with_torch), ("cupy", _with_cupy)):
        try:
            held = take(amount)
        except (OSError, ImportError, RuntimeError) as error:
            failures.append(f"{name}: {error}")
            continue
        sys.stdout.write(f"holding {amount // 2**20} MiB through {name}\n")
        sys.stdout.flush()
        sys.stdin.read()
        del held
        return 0
    sys.stdout.write(f"{'; '.join(failures)}\n")
    return 1


def _with_libcuda(amount: int) -> Any:
    cuda = ctypes.CDLL("libcuda.so.1")
    device, context, address = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
    _check("cuInit", cuda.cuInit(0))
    _check("cuDeviceGet", cuda.cuDeviceGet(ctypes.byref(device), 0))
    _check("cuCtxCreate", cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device))
    _check("cuMemAlloc", cuda.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(amount)))
    return context


def _check(call: str, code: int) -> None:
    if code:
        raise OSError(code, f"{call} failed with CUDA error {code}")


def _with_torch(amount: int) -> Any:
    torch: Any = importlib.import_module("torch")
    return torch.empty(amount, dtype=torch.uint8, device="cuda")


def _with_cupy(amount: int) -> Any:
    cupy: Any = importlib.import_module("cupy")
    take: Callable[[int], Any] = cupy.cuda.alloc
    return take(amount)


if __name__ == "__main__":
    sys.exit(main())
