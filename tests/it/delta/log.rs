//! Logs of Delta tables, written by hand as the protocol says.

use std::{io::Write, path::PathBuf};

use flate2::Crc;
use serde_json::{Value, json};

use crate::{program::Place, shards};

/// A table under way, in a folder of a place.
pub(crate) struct Table<'a> {
    place: &'a Place,
    name: String,
    /// Commits so far.
    version: usize,
}

/// A column of a schema as the log has it.
pub(crate) fn column(name: &str, data_type: Value) -> Value {
    json!({"name": name, "type": data_type, "nullable": true, "metadata": {}})
}

/// The same under another name in files, and a number.
pub(crate) fn mapped(name: &str, stored_as: &str, id: i64, data_type: Value) -> Value {
    json!({"name": name, "type": data_type, "nullable": true, "metadata": {
        "delta.columnMapping.physicalName": stored_as, "delta.columnMapping.id": id,
    }})
}

/// The columns of [`shards::hf_batch`].
pub(crate) fn pair_columns() -> Vec<Value> {
    let fields = [
        column("bytes", json!("binary")),
        column("path", json!("string")),
    ];
    vec![
        column("uid", json!("string")),
        column("image", json!({"type": "struct", "fields": fields})),
        column("text", json!("string")),
        column("rank", json!("long")),
    ]
}

pub(crate) fn protocol(reader: u32, writer: u32) -> Value {
    json!({"protocol": {"minReaderVersion": reader, "minWriterVersion": writer}})
}

/// The protocol of a table that asks its readers for `features`.
pub(crate) fn features(features: &[&str]) -> Value {
    json!({"protocol": {
        "minReaderVersion": 3, "minWriterVersion": 7,
        "readerFeatures": features, "writerFeatures": features,
    }})
}

pub(crate) fn metadata(columns: &[Value], partitions: &[&str], configuration: Value) -> Value {
    let schema = json!({"type": "struct", "fields": columns}).to_string();
    json!({"metaData": {
        "id": "5fba94ed-9794-4965-ba6e-6ee3c0d22af9", "format": {"provider": "parquet", "options": {}},
        "schemaString": schema, "partitionColumns": partitions, "configuration": configuration,
        "createdTime": 0,
    }})
}

impl<'a> Table<'a> {
    pub(crate) fn new(place: &'a Place, name: &str) -> Self {
        std::fs::create_dir_all(place.path(name).join("_delta_log")).unwrap();
        Self {
            place,
            name: name.to_owned(),
            version: 0,
        }
    }

    /// A table of pairs without anything special.
    pub(crate) fn plain(place: &'a Place, name: &str) -> Self {
        let mut table = Self::new(place, name);
        let columns = pair_columns();
        table.commit(&[protocol(1, 2), metadata(&columns, &[], json!({}))]);
        table
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.place.path(&self.name).join(file)
    }

    pub(crate) fn commit(&mut self, actions: &[Value]) {
        let path = self.path(&format!("_delta_log/{:020}.json", self.version));
        let lines: Vec<String> = actions.iter().map(Value::to_string).collect();
        std::fs::write(path, lines.join("\n")).unwrap();
        self.version += 1;
    }

    /// Writes good pairs to `file`, and gives what adds it.
    pub(crate) fn pairs(&self, file: &str, rows: u32) -> Value {
        let path = self.path(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        shards::write(&path, &shards::hf_batch(&shards::good_pairs(rows)));
        self.add(file, file, json!({}))
    }

    /// What adds `file`, which the log calls `path`.
    pub(crate) fn add(&self, file: &str, path: &str, partition: Value) -> Value {
        let size = std::fs::metadata(self.path(file)).unwrap().len();
        json!({"add": {
            "path": path, "partitionValues": partition, "size": size, "modificationTime": 0, "dataChange": true,
        }})
    }

    /// Writes a deletion vector of `rows` to `name`, and gives its description.
    pub(crate) fn vector(&self, name: &str, rows: &[u16]) -> Value {
        let bitmap = bitmap(rows);
        let mut body = 1_681_511_377_u32.to_le_bytes().to_vec();
        body.extend(bitmap);
        let mut crc = Crc::new();
        crc.update(&body);
        let size = u32::try_from(body.len()).unwrap();
        let mut file = std::fs::File::create(self.path(name)).unwrap();
        file.write_all(&[1]).unwrap();
        file.write_all(&size.to_be_bytes()).unwrap();
        file.write_all(&body).unwrap();
        file.write_all(&crc.sum().to_be_bytes()).unwrap();
        let url = format!("file://{}", self.path(name).display());
        json!({
            "storageType": "p", "pathOrInlineDv": url, "offset": 1, "sizeInBytes": size,
            "cardinality": rows.len(),
        })
    }
}

/// Rows below 65,536 as a 64-bit Roaring bitmap of one array.
fn bitmap(rows: &[u16]) -> Vec<u8> {
    let mut bytes = 1_u64.to_le_bytes().to_vec();
    for word in [0_u32, 12_346, 1] {
        bytes.extend(word.to_le_bytes());
    }
    let most = u16::try_from(rows.len() - 1).unwrap();
    bytes.extend([0, most].map(u16::to_le_bytes).concat());
    bytes.extend(16_u32.to_le_bytes());
    bytes.extend(rows.iter().flat_map(|row| row.to_le_bytes()));
    bytes
}
