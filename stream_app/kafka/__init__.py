"""Where bytes enter and leave: tuned clients, topics from their declarations, whole logs, rights.

clients     consumers, producers, admin; what a broken cluster is called
topics      what is declared in `schemas.topics`, created and checked
roles       who may do what, as declared
access      users and access lists made of it
permissions what the cluster lets us do
log         a topic read as a log: to its end, or followed
"""
