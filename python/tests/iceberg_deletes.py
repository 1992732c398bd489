"""Delete files of Iceberg, which PyIceberg reads and does not write: by position, and deletion vectors."""

from __future__ import annotations

import json
import struct
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestContent, ManifestWriterV2
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import _FastAppendFiles
from pyiceberg.typedef import Record


def delete_positions(table, folder, data_file: DataFile, positions: list[int]) -> None:
    """Commits a Parquet file of deletes by position."""
    path = f"{folder}/deletes-{positions[0]}.parquet"
    names = pa.array([data_file.file_path] * len(positions))
    pq.write_table(pa.table({"file_path": names, "pos": pa.array(positions, pa.int64())}), path)
    _commit(table, path, data_file, FileFormat.PARQUET, len(positions))


def delete_by_vector(table, folder, data_file: DataFile, positions: list[int]) -> None:
    """Commits a Puffin file with one deletion vector."""
    from pyroaring import BitMap

    bitmap = struct.pack("<QI", 1, 0) + BitMap(positions).serialize()
    vector = b"\xd1\xd3\x39\x64" + bitmap
    blob = struct.pack(">I", len(vector)) + vector + struct.pack(">I", zlib.crc32(vector))
    facts = {
        "type": "deletion-vector-v1",
        "fields": [2147483546],
        "snapshot-id": -1,
        "sequence-number": -1,
        "offset": 4,
        "length": len(blob),
        "properties": {"referenced-data-file": data_file.file_path, "cardinality": str(len(positions))},
    }
    footer = json.dumps({"blobs": [facts], "properties": {}}).encode()
    path = f"{folder}/vector-{positions[0]}.puffin"
    with open(path, "wb") as file:
        file.write(b"PFA1" + blob + b"PFA1" + footer + struct.pack("<I", len(footer)) + b"\0\0\0\0PFA1")
    _commit(table, path, data_file, FileFormat.PUFFIN, len(positions))


def _commit(table, path, data_file, file_format, rows) -> None:
    deletes = DataFile.from_args(
        content=DataFileContent.POSITION_DELETES,
        file_path=path,
        file_format=file_format,
        partition=Record(*data_file.partition),
        record_count=rows,
        file_size_in_bytes=1,
        column_sizes={},
        value_counts={},
        null_value_counts={},
        nan_value_counts={},
        lower_bounds={2147483546: data_file.file_path.encode()},
        upper_bounds={2147483546: data_file.file_path.encode()},
        split_offsets=[],
        key_metadata=None,
        equality_ids=None,
        sort_order_id=None,
        spec_id=data_file.spec_id,
    )
    with table.transaction() as transaction:
        with _Deletes(Operation.OVERWRITE, transaction, table.io) as commit:
            commit.append_data_file(deletes)


class _Deletes(_FastAppendFiles):
    def new_manifest_writer(self, spec):
        schema = self._transaction.table_metadata.schema()
        return _Writer(spec, schema, self.new_manifest_output(), self._snapshot_id, self._compression)


class _Writer(ManifestWriterV2):
    def content(self):
        return ManifestContent.DELETES

    @property
    def _meta(self):
        return {**super()._meta, "content": "deletes"}
