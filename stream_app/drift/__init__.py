"""The drift aggregator: the partitions' summaries in, one alert for each cause out, for the whole stream.

merge         summaries to sums, exactly, whatever the split
blocks        sums to blocks of about equal count, each with its place in the stream
standardise   a block to statistics in units of the model's reference
detectors     statistics to findings: ADWIN, a gate on effect size
incident      findings to incidents: one for a cause, with a beginning and an end
cause         the signals of an incident to a likely cause and what to do
watch         one model's summaries through all of these, in this order
aggregator    a pure fold of the summaries' log to alerts, one watch for each model
agent         the Faust agent that runs the fold, rebuilt from the log wherever it goes
"""
