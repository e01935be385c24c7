"""Engines of different homes do not promise the same GPU."""

import os
import subprocess
import sys
from pathlib import Path

from mcp_scheduler.telemetry import gpu_locks
from mcp_scheduler.telemetry.gpu_locks import GpuLocks, lock_folder

ROOT = Path(gpu_locks.__file__).parents[2]
OTHER = """
import sys
from pathlib import Path
from mcp_scheduler.telemetry.gpu_locks import GpuLocks
locks = GpuLocks(Path(sys.argv[1]), "/other/home")
print(locks.take(["GPU-a"]), flush=True)
sys.stdin.read()
"""


def test_a_gpu_that_another_engine_has_is_refused_and_the_engine_is_named(tmp_path):
    order = [sys.executable, "-c", OTHER, str(tmp_path / "gpus")]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    ours = GpuLocks(tmp_path / "gpus", "/our/home")
    with subprocess.Popen(order, env=environ, stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout.readline().strip() == "{}"
        refused = ours.take(["GPU-a", "GPU-b"])
        assert list(refused) == ["GPU-a"]
        assert f"pid {other.pid}, home /other/home" in refused["GPU-a"]
        assert ours.has("GPU-b")
        assert not ours.has("GPU-a")
        other.kill()
    assert ours.take(["GPU-a", "GPU-b"]) == {}
    assert ours.has("GPU-a")
    ours.close()


def test_a_released_gpu_is_free_for_others_and_a_kept_one_is_not(tmp_path):
    one, other = GpuLocks(tmp_path / "gpus", "one"), GpuLocks(tmp_path / "gpus", "other")
    assert one.take(["GPU-a", "GPU-b"]) == {}
    one.release("GPU-a")
    assert list(other.take(["GPU-a", "GPU-b"])) == ["GPU-b"]
    assert one.take(["GPU-b"]) == {}  # asking again for what is ours
    assert list(one.take(["GPU-a"])) == ["GPU-a"]
    one.close()
    assert other.take(["GPU-b"]) == {}
    other.close()


def test_a_lock_file_that_a_cleaner_removed_is_made_anew(tmp_path):
    one, other = GpuLocks(tmp_path / "gpus", "one"), GpuLocks(tmp_path / "gpus", "other")
    one.take(["GPU-a"])
    (tmp_path / "gpus" / "GPU-a").unlink()
    assert one.take(["GPU-a"]) == {}
    assert list(other.take(["GPU-a"])) == ["GPU-a"]
    one.close()


def test_a_folder_that_cannot_be_used_is_a_reason_and_no_crash(tmp_path):
    (tmp_path / "gpus").write_text("")
    assert "cannot be made" in GpuLocks(tmp_path / "gpus", "one").take(["GPU-a"])["GPU-a"]


def test_the_folder_is_the_same_for_all_engines_of_a_user_whatever_their_variables_say(tmp_path):
    assert lock_folder({"XDG_RUNTIME_DIR": "/x", "TMPDIR": "/y"}) == lock_folder({})
    assert str(os.geteuid()) in str(lock_folder({}))
    assert lock_folder({"MCP_SCHEDULER_GPU_LOCKS": str(tmp_path)}) == tmp_path
