"""`stream-app gate`: exit code 0 is passed, 1 refused, 2 called wrongly; the same verdict as JSON and as a page."""

import json
from types import SimpleNamespace

import msgspec
import polars as pl
import pytest
from msgspec.structs import replace

from models import archive, artefact
from models.data.frame import write
from models.data.simulator import Simulation, simulate
from models.definition import cards
from models.recipe import TrainingConfig
from models.training import train
from stream_app.cli.commanded import gates
from stream_app.rollout.client import Order
from stream_app.rollout.commands import Refused, ungated
from stream_app.rollout.state import Release, Rollout
from stream_app.settings import Settings
from tests.unit.stream_app.cli.cli_runner import stream_app

pytestmark = pytest.mark.slow

FEW = """
[volume]
fewest_alerts = 5
[stability]
cka_least = 0.5
neighbour_overlap_least = 0.2
[shift]
psi_most = 1
kl_most = 1
"""


@pytest.fixture(scope="module")
def cast(tmp_path_factory):
    """A champion, one of another seed, one whose threshold is half of what it should be, and a week of data."""
    folder = tmp_path_factory.mktemp("gate")
    week = simulate(Simulation(days=7, customers=700, seed=1))
    write(week, folder / "week.parquet")
    write(week.drop("fraud", "fraud_scenario"), folder / "unlabelled.parquet")
    for seed, name in ((0, "champion"), (1, "equal")):
        graph, manifest = train(week, cards(), TrainingConfig(epochs=4, seed=seed), "small", name)
        artefact.save(folder / f"{name}.pt", graph, manifest)
    lax = replace(manifest, version="lax", calibration=replace(manifest.calibration, threshold=3.0))
    artefact.save(folder / "lax.pt", graph, lax)
    (folder / "limits.toml").write_text(FEW + "[accuracy]\naverage_precision_loss = 1\ncard_precision_loss = 1\n")
    return folder


def gate(folder, candidate, *more, data="week.parquet"):
    given = ("--data", folder / data, "--limits", folder / "limits.toml")
    return stream_app("gate", folder / candidate, "--against", folder / "champion.pt", *given, *more)


def test_an_equal_model_passes_with_a_sentence_for_each_gate(cast):
    result = gate(cast, "equal.pt")
    assert result.exit_code == 0, result.stdout
    lines = result.stdout.splitlines()
    assert [line.split(" passed")[0] for line in lines[:-1]] == [
        "accuracy", "alert volume", "agreement of alerts", "latent stability", "score distribution", "robustness",
        "cost",
    ]  # fmt: skip
    assert lines[-1].endswith("all 7 gates let it pass")


def test_a_flood_of_alerts_is_refused_by_name_and_why_it_matters(cast):
    result = gate(cast, "lax.pt", "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["passed"] is False
    assert "alert volume" in report["failed"]
    assert "latent stability" not in report["failed"]
    assert len(report["digest"]) == 64
    assert "why it matters: each alert is an analyst's time" in gate(cast, "lax.pt").stdout


def test_without_labels_the_accuracy_gate_says_so_and_refuses(cast):
    result = gate(cast, "equal.pt", data="unlabelled.parquet")
    assert result.exit_code == 1
    assert "accuracy not measured: the data holds no labelled frauds; the limits refuse that" in result.stdout


def test_the_page_holds_everything_it_needs(cast, tmp_path):
    page = tmp_path / "deep" / "gate.html"
    assert gate(cast, "lax.pt", "--html", page).exit_code == 1
    html = page.read_text(encoding="utf-8")
    assert html.count("<figure>") == html.count("</svg>") == 6
    assert "refused for" in html
    outside = [word for word in ("<script", "<link", 'src="http', "@import", "url(http") if word in html]
    assert outside == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"--against": None}, "--against"),
        ({"--data": "gone.parquet"}, "gone.parquet"),
        ({"--data": "limits.toml"}, "parquet"),
        ({"--against": "limits.toml"}, "not a model artefact"),
        ({"--limits": "wrong.toml"}, "volume.ratio_most"),
        ({"--from": "2030-01-01"}, "no events"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(cast, arguments, says):
    (cast / "wrong.toml").write_text("[volume]\nratio_most = 0.1\n")
    given = {"--against": "champion.pt", "--data": "week.parquet", **arguments}
    options = [
        word
        for name, value in given.items()
        if value is not None
        for word in (name, value if name == "--from" else cast / value)
    ]
    result = stream_app("gate", cast / "equal.pt", *options)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_the_report_reads_back_as_what_it_was(cast):
    from models.gates.report import GateReport

    report = msgspec.json.decode(gate(cast, "equal.pt", "--json").stdout, type=GateReport)
    assert report.passed
    assert report.rows == pl.read_parquet(cast / "week.parquet").height


@pytest.mark.parametrize(("limits", "passed"), [("limits.toml", True), ("strict.toml", False)])
def test_a_deploy_is_judged_on_the_data_and_by_the_limits_of_the_settings(cast, tmp_path, limits, passed):
    (cast / "strict.toml").write_text("[shift]\npsi_most = 1e-9\n")
    own = {"model_cache": tmp_path / "cache", "gate_reports": tmp_path / "reports"}
    settings = Settings(gate_data=cast / "week.parquet", gate_limits=cast / limits, **own)
    champion = archive.read(cast / "champion.pt")
    session = SimpleNamespace(
        rollout=Rollout(serving=Release(champion.ref, str(cast / "champion.pt"))),
        order=Order("ann"),
        progress=lambda _: None,
        record=lambda *_, **__: None,
    )
    judged = gates(settings, None, None)
    if passed:
        verdict = judged(session, archive.read(cast / "equal.pt"))
        assert (verdict.passed, verdict.against) == (True, champion.sha256)
        return
    with pytest.raises(Refused) as refused:
        judged(session, archive.read(cast / "equal.pt"))
    assert "score distribution" in refused.value.report.failed


def test_without_data_in_the_settings_or_the_call_no_gate_is_asked():
    assert gates(Settings(), None, None) is ungated
