"""One module a kernel family: its cases, for tests and benchmarks alike."""
