"""For tests, benchmarks and the demo: nothing that a worker runs imports this room.

It ships with the product, because the demo does, and so that a team can test its own models and tools the same way.

worker_process   `stream-app worker` as a process of its own
stream           a producer that sends events at a rate
incident         trainings that end in a better model with a shifted latent space, and in an equally good one
memory_kafka     a broker in memory; memory_clients has its clients, with errors where a test wants them
tiny_model       a real artefact in milliseconds
"""
