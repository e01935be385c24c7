"""The real relay, told to start the stand-in instead of the real engine.

python relay_main.py HOME [--patience SECONDS] [options of the stand-in]
"""

import sys
from pathlib import Path

from mcp_scheduler import relay, vigil
from mcp_scheduler.hello import make_hello
from mcp_scheduler.home import Home

options = sys.argv[2:]
patience = float(options[options.index("--patience") + 1]) if "--patience" in options else vigil.QUIET
standin = str(Path(__file__).with_name("standin.py"))
hello = make_hello("mcp", principal="tester")
commands = [[sys.executable, standin, *sys.argv[1:]]]
sys.exit(relay.main(Home(sys.argv[1]), hello, commands, vigil.Vigil(patience, patience)))
