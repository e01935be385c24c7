"""`mcp-scheduler demo`: an agent's session on real input that every machine has."""
