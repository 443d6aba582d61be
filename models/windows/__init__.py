"""What of an entity's past a model sees, computed the same in training and in the stream.

What a value means (DESIGN 12), whatever computes it
    Time is cut into hops since 1970, in UTC: 5 minutes for windows up to 12 hours, an hour up to 12 days, a day beyond.
    A log is the sequence of a partition's events; `before` is by its order, never by time.

    For an event of time t a window of k hops covers the events of the same entity that stand before it in the log and
    whose hop is that of t, as far as it has come, or one of the k hops before. With a delay of d hops it covers the k
    whole hops from d + k to d + 1 before that of t. The event itself is left out.

    A late event counts where it belongs if its hop is still held: a window holds the hops that it would cover for the
    newest time of the entity so far, and none that is older. So what a late event itself sees is cut there, too.

    Times are whole microseconds. A value that is missing, NaN or infinite is no value: its event counts, and nothing
    else of it does. Whatever no event or too few events speak of is missing (NaN).

Aggregates
    count         events; 0 of none
    sum           of the values; 0 of none
    mean          missing without a value
    std           of a sample (n - 1); missing below two values
    min, max      missing without a value
    deviation     of the event's value from the mean, in standard deviations; missing where the event has no value,
                  below two values, and where they agree to seven digits: there is no spread to measure by
    since_last    seconds since the newest time of the entity; missing if its hop is not in the window, or it is later
                  than t: then it is not known which event was the last one before t
    distinct      different values, as far as they are remembered (below); 0 of none
    is_new        1 if the event's value is not among them, else 0; missing where the event has no value, and where no
                  value is known: all would be new
    The last two remember of each value the newest hop in which it was seen, so a late event sees values of later hops
    too; of an entity at most 64 values, the one seen longest ago goes first. They, and `since_last`, know no delay.

What a value depends on
    On the entity's events before it in its log, and on nothing else: not on how the log was cut into batches, on
    restarts, on other windows, or on other entities, as long as none is forgotten. The bits follow, too: values of a
    hop are added in the order of the log, hops from the newest to the oldest, in float64; the result is float32, as the
    model reads it. The bound on entities forgets what was longest unseen by position in the log, which is the one thing
    in which entities meet.

Other entities (`totals`)
    An entity that is not the key of the topic, a merchant, has its events in every partition. A partition publishes the
    totals of each hop that is over, every worker reads those of all, and a window has a delay of at least one hop. The
    sums are exact, so that their order does not matter: values are rounded to 2^-20, and sums below 2^33 keep all bits.
    A label counts in the hop of its event from when it arrived, so `mean` of `label` is a share of all events.
"""
