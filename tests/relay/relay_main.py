"""The real relay, told to start the stand-in instead of the real engine.

python relay_main.py HOME [options of the stand-in]
"""

import sys
from pathlib import Path

from mcp_scheduler import relay
from mcp_scheduler.hello import make_hello
from mcp_scheduler.home import Home

standin = str(Path(__file__).with_name("standin.py"))
hello = make_hello("mcp", principal="tester")
sys.exit(relay.main(Home(sys.argv[1]), hello, [[sys.executable, standin, *sys.argv[1:]]]))
