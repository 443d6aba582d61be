"""The input as it was in, what the pipeline's own stages say of it now out: the same log gives the same decisions.

rescore    decode, score and explain composed without Kafka's outputs
receipt    one anomaly derived again from its record and its model
what_if    what another model or threshold would have decided of a range
plot       the same as a picture
"""
