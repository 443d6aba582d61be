"""Labelled card transactions in one frame layout, from a file or from the simulator, and the events that they make.

frame       the layout, and parquet files in and out of it
windows     what a customer and a terminal did lately, as features
simulator   transactions of customers and terminals that do not exist, with frauds
drift       a frame that goes wrong at a chosen moment, in a chosen way
events      the frame as JSON events, and as the labels that arrive days later
"""
