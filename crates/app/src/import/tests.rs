use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::columns::Columns;
use super::file::{Sheet, UnreadableFile};
use super::rows::{Imported, rows_of};

fn imported(bytes: &[u8]) -> Value {
    let sheet = Sheet::read(bytes).expect("a table of text");
    let columns = Columns::guess(sheet.headers.clone());
    let Imported { rows, errors } = rows_of(&sheet, &columns);
    let named = columns.columns.iter().map(|(header, field)| json!([header, field.map(|field| field.name())]));
    json!({
        "encoding": sheet.encoding,
        "format": columns.format.name(),
        "columns": named.collect::<Vec<_>>(),
        "rows": rows,
        "errors": errors,
    })
}

#[test]
fn files_of_all_systems_have_the_documented_rows() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/import");
    let mut count = 0;
    for entry in fs::read_dir(directory).expect("the directory") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "csv") {
            let expected = fs::read_to_string(path.with_extension("json")).expect("an expectation");
            let expected: Value = serde_json::from_str(&expected).expect("JSON");
            let actual = imported(&fs::read(&path).expect("a file"));
            for member in ["encoding", "format", "columns", "errors", "rows"] {
                assert_eq!(actual[member], expected[member], "{} of {}", member, path.display());
            }
            count += 1;
        }
    }
    assert_eq!(count, 7);
}

#[test]
fn other_files_are_rejected_as_a_whole() {
    let read = |bytes: &[u8]| Sheet::read(bytes).map(|sheet| sheet.headers);
    assert!(matches!(read(b""), Err(UnreadableFile::Empty)));
    assert!(matches!(read(b"\n\n,,\n"), Err(UnreadableFile::Empty)));
    assert!(matches!(read(b"sku\xff\xff,name"), Err(UnreadableFile::Encoding)));
    assert_eq!(read(b"\xff\xfes\0k\0u\0").expect("UTF-16 with a byte order mark"), ["sku"]);
}

#[test]
fn a_column_can_be_mapped_by_hand() {
    let mut columns = Columns::guess(["SKU", "Label", "Name", "Price"].map(str::to_owned).to_vec());
    let name = columns.columns[2].1;
    columns.map("label", name).expect("a column");
    columns.map("Price", None).expect("a column");
    let fields = columns.columns.iter().map(|(_, field)| field.map(|field| field.name()));
    assert_eq!(fields.collect::<Vec<_>>(), [Some("sku".to_owned()), Some("name".to_owned()), None, None]);
    assert!(columns.map("Nothing", name).is_err());
}
