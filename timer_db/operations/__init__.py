"""What the services do with timers: one verb per function, each a short transaction or one read."""
