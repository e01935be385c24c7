"""Models that are trained in a process of their own: optional, and never imported by the engine."""
