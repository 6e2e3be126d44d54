//! Writes the seeds of the fuzz targets to `mesh-core/fuzz/corpus/TARGET`.

#[path = "../tests/answers/mod.rs"]
mod answers;
#[path = "../fuzz/bodies/mod.rs"]
pub mod bodies;
#[path = "../fuzz/seeds.rs"]
pub mod seeds;

use std::fs;
use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for target in seeds::targets() {
        let folder = corpus.join(target.name);
        fs::create_dir_all(&folder)?;
        for (index, seed) in target.seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{index:04}")), seed)?;
        }
        println!("{}: {} seeds", folder.display(), target.seeds.len());
    }
    Ok(())
}
