//! The first question of clickhouse-go in its HTTP mode.
//!
//! With `client_protocol_version` a server writes Native blocks in the layout of that protocol revision;
//! the engine knows the layout without a revision only. The client asks for the server's revision first
//! and reads everything after that by it, so this one answer is written in the client's layout, and says
//! that the revision is 0.

/// What the client asks.
pub(crate) const QUESTION: &str = "SELECT displayName(), version(), revision(), timezone()";

/// From this revision on a flag stands before the data of each column.
const CUSTOM_SERIALIZATION: u64 = 54_454;

/// The answer as one Native block in the layout of `revision`.
pub(crate) fn answer(revision: u64, version: &str) -> Vec<u8> {
    // Block info: 1 = does it overflow (no), 2 = number of its bucket (-1: none), 0 = end.
    let mut block = vec![1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0];
    block.extend([4, 1]);
    let mut column = |name: &str, kind: &str, value: &[u8]| {
        string(&mut block, name.as_bytes());
        string(&mut block, kind.as_bytes());
        if revision >= CUSTOM_SERIALIZATION {
            block.push(0);
        }
        if kind == "String" { string(&mut block, value) } else { block.extend(value) }
    };
    column("displayName()", "String", b"clickhouse-local-server");
    column("version()", "String", version.as_bytes());
    column("revision()", "UInt32", &0_u32.to_le_bytes());
    column("timezone()", "String", b"UTC");
    block
}

/// All of them are shorter than 128 bytes, so that their length is one byte.
fn string(block: &mut Vec<u8>, text: &[u8]) {
    let text = &text[..text.len().min(127)];
    block.push(text.len() as u8);
    block.extend(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_follows_the_revision() {
        let (new, old) = (answer(54_460, "26.7.2.1"), answer(54_000, "26.7.2.1"));
        assert_eq!(new.len(), old.len() + 4);
        assert!(
            new.starts_with(
                b"\x01\0\x02\xff\xff\xff\xff\0\x04\x01\x0ddisplayName()\x06String\0\x17clickhouse"
            )
        );
        assert!(new.ends_with(b"revision()\x06UInt32\0\0\0\0\0\x0atimezone()\x06String\0\x03UTC"));
    }
}
