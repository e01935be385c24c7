"""What the workers of these tests offer, as the text of a module `fns`."""

SOURCE = """
    import asyncio, os, subprocess, sys, threading, time
    from pathlib import Path
    from mcp_scheduler import current_task, function

    @function
    def add(a: int, b: int = 2) -> int:
        "Adds."
        return a + b

    @function(name="slow-one", timeout=5)
    async def later(x: int) -> int:
        await asyncio.sleep(0)
        return x

    @function
    def wait_for(path: Path) -> str:
        while not path.exists():
            time.sleep(0.001)
        return "came"

    @function
    async def sleep_for_ever() -> None:
        await asyncio.sleep(3600)

    @function
    def stubborn(path: Path) -> str:
        try:
            wait_for(path)
        except BaseException:
            pass
        return "partial"

    class Gated(dict):
        "Its conversion to JSON, when the call itself is over, waits at a gate."
        def items(self):
            self["began"].write_text("here")
            return {"came": self["go"].open().readline()}.items()

    @function
    def gated(began: Path, go: Path) -> object:
        return Gated(began=began, go=go)

    @function
    def fail(text: str) -> None:
        raise ValueError(text)

    @function
    def run(code: str) -> object:
        names = {}
        exec(code, globals(), names)
        return names.get("result")
"""
