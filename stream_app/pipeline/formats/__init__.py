"""The formats of records: each reader makes the values of a micro-batch into the structs of a definition's shape.

After it, everything is the same whatever the format: the decoder makes columns of the structs.
"""
