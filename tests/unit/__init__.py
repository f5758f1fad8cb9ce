"""Rules and rooms without processes: a FakeClock and a MemoryBus."""
