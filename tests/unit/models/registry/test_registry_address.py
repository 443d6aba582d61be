"""What a `models:/` address may look like, and where workers fetch what it leads to."""

import pytest

from models.registry.address import Address, RegistryError, fetchable, parse


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("models:/card-fraud/7", Address("card-fraud", "7", None)),
        ("models:/card-fraud@candidate", Address("card-fraud", None, "candidate")),
        ("models://card-fraud/12", Address("card-fraud", "12", None)),
    ],
)
def test_a_version_or_an_alias_is_named(text: str, address: Address) -> None:
    assert parse(text) == address


@pytest.mark.parametrize(
    "text", ["models:/card-fraud", "models:/card-fraud/", "models:/card-fraud/0", "models:/a/b/1", "models:/a@b/1"]
)
def test_another_form_is_refused_with_the_right_ones(text: str) -> None:
    with pytest.raises(RegistryError, match="models:/NAME/VERSION or models:/NAME@ALIAS"):
        parse(text)


@pytest.mark.parametrize(
    ("source", "uri"),
    [
        ("file:///srv/mlflow/1/model.pt", "file:///srv/mlflow/1/model.pt"),
        ("s3://models/1/model.pt", "s3://models/1/model.pt"),
        (
            "mlflow-artifacts:/1/ab/artifacts/model/model.pt",
            "http://mlflow:5000/api/2.0/mlflow-artifacts/artifacts/1/ab/artifacts/model/model.pt",
        ),
    ],
)
def test_workers_are_told_an_address_without_mlflow_and_without_a_password(source: str, uri: str) -> None:
    assert fetchable(source, "http://ann:hunter2@mlflow:5000/") == uri


def test_storage_that_workers_cannot_read_is_refused() -> None:
    with pytest.raises(RegistryError, match="gs://models/1 cannot be fetched by workers"):
        fetchable("gs://models/1", "http://mlflow:5000")
