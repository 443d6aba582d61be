"""What is judged by itself: of a value that has a past of its own, how far it is from that."""

from models.definition import complete
from models.features import features_of
from schemas.definition import Definition, EventFields, Input, Window


def judged(*inputs: Input) -> list[str]:
    definition = complete(Definition("d", EventFields("id", "at", "card"), inputs))
    return [inputs[feature.column].name for feature in features_of(definition) if feature.judged]


VALUE, OTHER = Input("pulse", "sensors.pulse"), Input("weight", "sensors.weight")
COUNT = Input("count_7d", window=Window("card", "count", "7d"))
DEVIATION = Input("deviation_7d", window=Window("card", "deviation", "7d", "sensors.pulse"))
MEAN = Input("mean_7d", window=Window("card", "mean", "7d", "sensors.pulse"))


def test_a_value_whose_deviation_is_an_input_is_judged_by_that_alone():
    assert judged(VALUE, OTHER, COUNT, DEVIATION) == ["weight", "deviation_7d"]
    assert judged(VALUE, OTHER, COUNT) == ["pulse", "weight"]


def test_one_with_a_mean_too_is_judged_by_its_ratio_and_by_itself():
    assert judged(VALUE, COUNT, DEVIATION, MEAN) == ["pulse", "deviation_7d", "pulse"]
