"""What a worker publishes about itself for the pages of the others."""

from stream_app.ops.vitals import vitals
from stream_app.settings import Settings
from tests.unit.stream_app.ops.ops_records import NOON, Clock, running


def test_the_address_of_its_page_is_where_it_listens():
    settings = Settings(web_host="10.0.0.7", web_port=7000)
    assert vitals(settings, running(Clock()), True, NOON).web_url == "http://10.0.0.7:7000/"
