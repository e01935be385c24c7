"""What holds for every test: signals as a person's terminal has them, and a limit to everything."""

from __future__ import annotations

import signal

from hypothesis import settings

# A run that was started in the background ignores SIGINT, and so would every program that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# How long an example takes says more about what else the machine does than about the program.
settings.register_profile("house", deadline=None)
settings.load_profile("house")
