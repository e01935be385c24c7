"""Errors of GPU frameworks: which of them are a lack of memory, and after which a process is of no use any more."""

import pytest

from mcp_scheduler.sdk.failures import lacks_memory, spoilt


class OutOfMemoryError(RuntimeError):
    """As torch and cupy call theirs."""


class XlaRuntimeError(RuntimeError):
    """As JAX calls its."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        XlaRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 4 bytes"),
        RuntimeError("cuMemAlloc failed: CUDA_ERROR_OUT_OF_MEMORY"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_these_are_a_lack_of_memory(error):
    assert lacks_memory(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("no luck"), ValueError("CUDA out of memory"), KeyError("RESOURCE_EXHAUSTED"), OSError("x")]
)
def test_these_are_not(error):
    assert not lacks_memory(error)


def test_a_process_runs_nothing_else_after_a_broken_context_or_a_lack_of_memory():
    assert spoilt("out_of_memory", "whatever")
    assert spoilt("error", "RuntimeError: CUDA error: device-side assert triggered")
    assert not spoilt("error", "ValueError: no luck")
    assert not spoilt(None, "")
