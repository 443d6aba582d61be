"""The drift aggregator: the partitions' summaries in, one alert for each cause out, for the whole stream.

merge         summaries to sums, exactly, whatever the split
blocks        sums to blocks of about equal count, each with its place in the stream
standardise   a block to statistics in units of the model's reference, season taken out
cusum         statistics to those that have left their reference: cumulative sums, for what comes at once
detectors     the same with River's ADWIN beside it, for what creeps
incident      findings to incidents: one for a cause, with a beginning and an end
evidence      what has moved since the beginning of an incident, and how far
cause         that to a likely cause and what to do
window        all signals of a sliding window by these, at the hours that it holds
watch         one model's summaries through all of these, in this order
symptoms      alerts of the whole and of its segments to those that people are told: one for one change
segmented     one model's summaries through a watch of the whole and one of each of its segments
aggregator    a pure fold of the summaries' log to alerts, one watch for each model
"""
