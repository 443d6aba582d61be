"""All that is Faust: the worker as a composition root, its agents and services, credentials for its own client.

No other room imports Faust. Start with `worker.py`.
"""
