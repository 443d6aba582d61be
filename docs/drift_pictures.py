"""A page of `stream-app drift-report` in, the pictures of docs/drift.md out: `python -m docs.drift_pictures PAGE`."""

import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
SIGNALS = re.compile(r"<figure class=wide>(<svg.*?</svg>)", re.DOTALL)
SHAPE = re.compile(r"<figcaption>amount<.*?</figcaption>(<svg.*?</svg>)", re.DOTALL)
ROOT = re.compile(r":root \{(.*?)\}", re.DOTALL)


def standalone(svg: str, page: str) -> str:
    """The picture with the page's colours, light and dark, and the reader's own font."""
    light, dark = ROOT.findall(page)[:2]
    style = (
        f"<style>svg{{{' '.join(light.split())}}}@media(prefers-color-scheme:dark){{svg{{{' '.join(dark.split())}}}}}"
        "text{font-family:system-ui,sans-serif!important}</style>"
    )
    head, defs, rest = svg.partition("<defs>")
    return f"{head}{style}{defs}{rest}\n"


def main(page: str) -> None:
    """Write both."""
    for name, pattern in (("drift-incident.svg", SIGNALS), ("drift-distribution.svg", SHAPE)):
        found = pattern.search(page)
        if found is None:
            sys.exit(f"the page has no {name}: it needs an incident of the amounts")
        (FOLDER / name).write_text(standalone(found[1], page), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).read_text(encoding="utf-8"))
