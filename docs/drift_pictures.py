"""The pictures of docs/drift.md, cut from a page of `stream-app drift-report`: `python -m docs.drift_pictures PAGE`."""

import re
import sys
from pathlib import Path

from models.pages.pictures import standalone

FOLDER = Path(__file__).parent
SIGNALS = re.compile(r'<figure class="wide">(<svg.*?</svg>)', re.DOTALL)
SHAPE = re.compile(r"<figcaption>amount<.*?</figcaption>(<svg.*?</svg>)", re.DOTALL)


def main(page: str) -> None:
    """Write both."""
    for name, pattern in (("drift-incident.svg", SIGNALS), ("drift-distribution.svg", SHAPE)):
        found = pattern.search(page)
        if found is None:
            sys.exit(f"the page has no {name}: it needs an incident of the amounts")
        (FOLDER / name).write_text(standalone(found[1]), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).read_text(encoding="utf-8"))
