"""`stream-app demo`: the whole story on a real broker, step by step, with a table of figures at the end.

Start with `story.py`, the steps in order.
"""
