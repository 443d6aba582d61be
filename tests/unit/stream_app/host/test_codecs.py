"""A topic may be set to any codec of Kafka's: the control plane's own client, which is Faust's, reads them all."""

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

CODECS = {
    "none": 0,
    "gzip": DefaultRecordBatch.CODEC_GZIP,
    "snappy": DefaultRecordBatch.CODEC_SNAPPY,
    "lz4": DefaultRecordBatch.CODEC_LZ4,
    "zstd": DefaultRecordBatch.CODEC_ZSTD,
}


@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_is_read_whatever_codec_its_topic_is_set_to(codec: str) -> None:
    values = [b"a summary of a partition" * 50] * 20
    written = DefaultRecordBatchBuilder(2, CODECS[codec], 0, -1, -1, -1, 1_000_000)
    for offset, value in enumerate(values):
        written.append(offset, timestamp=0, key=None, value=value, headers=[])
    batch = DefaultRecordBatch(bytes(written.build()))
    assert batch.compression_type == CODECS[codec]
    assert [record.value for record in batch] == values
