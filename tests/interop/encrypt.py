"""Writes `column.parquet` and `footer.parquet` with pyarrow: a column alone, or all, encrypted. `python encrypt.py DIR`."""

import base64
import sys
from pathlib import Path

from tools import SAMPLE, installed


def main():
    pyarrow = installed("pyarrow")
    if not pyarrow:
        return
    import pyarrow.parquet as parquet
    import pyarrow.parquet.encryption as encryption

    class Keys(encryption.KmsClient):
        """Hands the key back as it is: for a test only."""

        def __init__(self, _):
            encryption.KmsClient.__init__(self)

        def wrap_key(self, key, _):
            return base64.b64encode(key)

        def unwrap_key(self, key, _):
            return base64.b64decode(key)

    rows = parquet.read_table(SAMPLE).slice(0, 20)
    for name, plain in (("column", True), ("footer", False)):
        rule = encryption.EncryptionConfiguration(footer_key="f", column_keys={"c": ["text"]}, plaintext_footer=plain)
        keys = encryption.CryptoFactory(Keys).file_encryption_properties(encryption.KmsConnectionConfig(), rule)
        parquet.write_table(rows, Path(sys.argv[1]) / f"{name}.parquet", encryption_properties=keys)


main()
