"""The model-swap protocol: commands on one ordered log decide which model every worker serves, and nothing else does.

In the order of what happens to a command:

    commands     deploy and rollback for people: issue, wait for the effect, report
    order        what every command of a person has; two phases, or one
    watch        both logs followed side by side while one command takes effect
    publish      status, commands and audit records out to Kafka
    state        what a command means: the state before it in, the state after it out
    entries      records of the log in, entries out: a pure fold
    follower     one thread per worker tails the log, another loads: `.serving` is what the log prescribes, checked here
    warm         the models that a worker keeps loaded, and why others are not
    gating       deploy asks the gates first: a verdict that travels with the stage, or a refusal
    admission    a worker's own say on a staged model: its verdict, its cost, its golden rows
    trust        whose signatures count: of commands, of artefacts
    cache        artefacts fetched by URI, kept by digest
    object_store what an `s3://` or `http(s)://` URI names
    workers      which workers are alive and what each has answered
    controller   activates a stage when every live worker has it, aborts it when one cannot
    trial        the trial that runs now, for people
    evidence     counts to e-values
    guard        comparisons of two models to a finding: roll back, promote, keep watching
    warden       the guard at work: reports, and acts where it may
    aliases      what the log prescribes as the registry's aliases
    registrar    has the registry told, in a process of its own
    training_record  how a staged model was trained, for the audit trail
"""
