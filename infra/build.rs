//! include_dir! does not see files that are added later; cargo does.
fn main() {
    println!("cargo:rerun-if-changed=clickhouse");
}
