"""The stand-in for NVIDIA's library lies among the fakes: other rooms use it too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes" / "nvml"))

from fake_nvml import nvml_library, scenario

__all__ = ["nvml_library", "scenario"]
