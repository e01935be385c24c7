"""The use cases: submit, wait, get, list, read, cancel, update, load. Every door calls these and nothing below them."""

from __future__ import annotations

from mcp_scheduler.service.service import Service

__all__ = ["Service"]
