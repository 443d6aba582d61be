"""The comparison of two latent spaces in sentences, the same in terminal and page."""

from models.latents.report import LatentsReport


def sentences(report: LatentsReport) -> list[str]:
    """What was found, without the lists and the conclusion."""
    said = [
        f"as it is the new space gives {_share(report.as_it_is)} of the old one's variance"
        if report.as_it_is is not None
        else "the two spaces have different numbers of dimensions",
        f"rotated {_share(report.rotated)}, through a linear map {_share(report.linear)}",
    ]
    if report.stored is not None:
        said.append(f"through the map in its manifest {_share(report.stored)}")
    said.append(f"CKA {report.cka:.2f}, {report.neighbours_kept:.0%} of the nearest neighbours are the same")
    said += [
        f"behind the map the mean of {shift.rows:,} {shift.label} events moved by {shift.distance:.2f} spreads"
        for shift in report.means
    ]
    if report.inputs:
        told = ", ".join(f"{moved.name} {moved.difference:+.1f}" for moved in report.inputs)
        said.append(f"the events that moved most differ from the others by so many standard deviations: {told}")
    return said


def _share(value: float) -> str:
    return "less than nothing" if value < 0 else f"{value:.0%}"
