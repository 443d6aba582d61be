"""The program `stream-app`: one command for each thing that people do; every failure is one line that says what to do.

app          the program, its global options, its list of commands
invocation   the options given before or after any command, and the settings they lead to
errors       what a failure says, and the exit code: the only place that decides it
terminal     stdout for data, stderr for people: JSON, tables, progress
signals      Ctrl-C finishes what is under way
data         simulate, produce          publish    the loop that paces and counts
consume      consume                    readable   one line a record
training     train, evaluate        tracking   what they, and the commands of a rollout, tell the registry
registry     registry sync
rollout      deploy, rollback, models   register   the swap log folded into one entry for each model
operate      broker, worker, demo, verify
status       status                     overview   the log of heartbeats folded into what is so now
doctor       doctor                     checks     one function for each thing that can be wrong
"""
