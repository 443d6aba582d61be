"""The formats of records: each reader finds in the values of a micro-batch the fields of a definition's shape.

After it, everything is the same whatever the format: the decoder makes columns of the fields.
"""
