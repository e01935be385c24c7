"""The proofs of the promises by violence and by patience: real clients, real processes, an outside judge."""
