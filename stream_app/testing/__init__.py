"""For tests, benchmarks and the demo: nothing that a worker runs imports this room."""
