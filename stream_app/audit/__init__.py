"""The audit trail: every action is a record on `audit`, chained by its writer and sealed by one worker.

A record that is removed or changed afterwards breaks the chain or a seal, and `proof.py` names the offset.
"""
