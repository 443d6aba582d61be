"""Programs that do the product's job without it, each as the documentation of its library writes it.

Each is a process of its own with the arguments of `contract.Job`. It reads the topic from the beginning with a group
that nobody used before, scores with the same artefact, writes anomalies, and prints one line of JSON.
"""
