"""What a worker publishes about itself for the pages of the others."""

from stream_app.ops.health import Health
from stream_app.ops.vitals import vitals
from stream_app.settings import Settings
from tests.unit.stream_app.ops.ops_records import NOON, Clock, running

ALIVE = Health(True, "The pipeline turns: running.")


def test_the_address_of_its_page_is_where_it_listens():
    settings = Settings(web_host="10.0.0.7", web_port=7000)
    assert vitals(settings, running(Clock()), ALIVE, NOON).web_url == "http://10.0.0.7:7000/"


def test_others_learn_what_it_does_and_why_it_does_nothing():
    works = vitals(Settings(), running(Clock()), ALIVE, NOON)
    assert (works.ready, works.alive, works.state) == (True, True, "running")
    stands = vitals(Settings(), running(Clock()), Health(False, "It stands: restart this worker."), NOON)
    assert (stands.ready, stands.alive, stands.state) == (False, False, "It stands: restart this worker.")
