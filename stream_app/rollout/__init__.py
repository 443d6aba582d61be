"""The model-swap protocol: commands on one ordered log decide which model every worker serves, and nothing else does.

`state.py` is the meaning of a command: a pure function from the state before it to the state after it. An operator's
command is issued and awaited from the command line; every worker follows the log and loads the models that it names;
the controller, on the worker that owns the log's one partition, activates a stage once every live worker has it; the
guard beside it compares the two models of a trial or of a fresh activation, and may roll back.
"""
