"""Labelled card transactions in one frame layout, from a file or from the simulator, and the events made of them."""
