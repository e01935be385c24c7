"""The durable memory, twice: `SqliteStore` for engines, `MemoryStore` for tests and the simulator."""
