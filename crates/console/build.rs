//! Lists the built files as Rust, so that the binary has them inside.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let built = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("set by cargo")).join("built");
    println!("cargo::rerun-if-changed={}", built.display());
    let mut files = Vec::new();
    collect(&built, &mut files)?;
    files.sort();
    let mut source = "&[\n".to_owned();
    for file in files {
        let name = file.strip_prefix(&built).expect("in the folder").to_str().expect("UTF-8");
        writeln!(source, "    ({name:?}, include_bytes!({file:?})),").expect("text grows");
    }
    source.push(']');
    fs::write(Path::new(&env::var("OUT_DIR").expect("set by cargo")).join("files.rs"), source)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}
