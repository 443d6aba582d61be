"""Has the compiled code ready before an event waits for it.

    python -m models.windows.warm             when an image is built: what is compiled is kept

Compiling takes half a minute, once in an installation; loading what was kept takes half a second.
"""

import numpy as np

from models.windows.compiled import Batch
from models.windows.entities import GONE_KEYS
from models.windows.keys import keys_of
from models.windows.plan import SECOND_US
from models.windows.state import WindowState
from models.windows.totals import HopTotals
from models.windows.view import TotalsView
from schemas.definition import Window

EVENTS = 3 * GONE_KEYS


def warm_up() -> None:
    """Call everything that is compiled once, as a worker does."""
    keys = keys_of([str(number) for number in range(EVENTS)])
    times, numbers, none = np.arange(EVENTS) * SECOND_US, np.ones((EVENTS, 1)), np.zeros((EVENTS, 0), np.int64)
    mean = Window("a", "mean", "1d", "b")
    state = WindowState([mean], EVENTS // 2)
    state.step(Batch(np.arange(EVENTS), keys, times, numbers, none))
    WindowState([mean], EVENTS).restore(state.changed())
    state.step(Batch(np.arange(EVENTS, 2 * EVENTS), keys, times, numbers, none))
    list(state.changed())
    windows = [Window("a", "mean", "1d", "b", "1h")]
    totals, view = HopTotals(windows), TotalsView(windows, EVENTS)
    totals.add(keys, times, numbers)
    for record in totals.finished(EVENTS * SECOND_US):
        view.add(0, record)
    view.look(keys, times)


if __name__ == "__main__":
    warm_up()
