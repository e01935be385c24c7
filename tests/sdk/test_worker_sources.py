"""Where functions come from."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench import PYTHON
from worker_functions import SOURCE


def test_one_bad_source_spoils_no_other(bench):
    bench.write("exits.py", "import sys; sys.exit(3)")
    bench.write("breaks.py", "1 / 0")
    bench.write("json.py", "")
    bench.write("args.py", "from mcp_scheduler import function\n@function\ndef f(*parts): ...\n")
    bench.write("wrong.py", "from mcp_scheduler import function\n@function(timeout=-1)\ndef f(): ...\n")
    good = bench.write("fns.py", SOURCE)
    names = [str(bench.folder / f"{name}.py") for name in ("exits", "breaks", "json", "args", "wrong", "absent")]
    engine = bench.start(*names, "no_such_module", good)
    catalogue = engine.expect("catalogue")
    assert "fns.add" in [entry["name"] for entry in catalogue["functions"]]
    told = "\n".join(catalogue["problems"])
    for text in ("SystemExit: 3", "ZeroDivisionError", "'json' is taken by", "*parts is positional", "timeout must be",
                 "there is no file", "No module named 'no_such_module'"):  # fmt: skip
        assert text in told
    assert len(catalogue["problems"]) == 7


def test_modules_and_entry_points_are_sources_too(bench):
    source = "from mcp_scheduler import function\n@function\ndef f() -> int:\n    return 1\n"
    bench.write("here.py", source)
    for name in ("lib", "site", "site/thing-1.0.dist-info"):
        (bench.folder / name).mkdir()
    bench.write("lib/there.py", source)
    bench.write("site/plugged.py", source)
    bench.write("site/thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
    bench.write("site/thing-1.0.dist-info/entry_points.txt", "[mcp_scheduler.functions]\nx = plugged\n")
    engine = bench.start("here", "there", path=(str(bench.folder / "lib"), str(bench.folder / "site")))
    catalogue = engine.expect("catalogue")
    assert catalogue["problems"] == []
    assert [entry["name"] for entry in catalogue["functions"]] == ["here.f", "there.f", "plugged.f"]


def test_a_user_module_does_not_see_the_packages_beside_ours(bench):
    code = "import sys\nfrom mcp_scheduler import function\n@function\ndef path() -> list:\n    return sys.path\n"
    engine = bench.start(bench.write("fns.py", code))
    import mcp_scheduler

    beside = Path(mcp_scheduler.__file__).parent.parent
    ours = engine.result("a-1.1", "fns.path").count(str(beside))
    probe = subprocess.run(
        [PYTHON, "-I", "-c", "import sys; print(sys.path)"], capture_output=True, text=True, check=True
    )
    assert ours == probe.stdout.count(f"'{beside}'"), "an editable installation is there anyway; we add nothing"
