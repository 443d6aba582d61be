"""Tells people and their tools of anomalies and of drift, by webhook: at least once, in order, each under one key.

Each destination is a consumer group of its own on `anomalies` and `drift-alerts`, so that one which is slow, or away,
delays no other (`courier`). What is told is one message for an entity's anomalies of a while (`notification`), in the
form that the destination takes (`formats`), sent until it is taken or nothing can be hoped for (`sending`).
"""
