"""Real relays against a stand-in engine, over real pipes and a real socket."""

import shutil
import tempfile

import pytest
from standin_client import Client, StandInHome, kill, processes_of


@pytest.fixture
def home():
    """A short path: sockets' addresses are limited. Whatever served it is gone afterwards."""
    folder = tempfile.mkdtemp(prefix="doors-")
    home = StandInHome(folder)
    yield home
    for pid in processes_of(home):
        kill(pid)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def connect(home):
    """Start a relay for the home, with options for the stand-in engine."""
    clients = []

    def start(*options, **settings):
        clients.append(Client(home, *options, **settings))
        return clients[-1]

    yield start
    for client in clients:
        client.close()
