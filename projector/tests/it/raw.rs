//! Writes a record that no client library writes, with a header name that is not UTF-8, to the broker directly.

use std::io::{Read, Write};
use std::net::TcpStream;

/// Appends one record to partition 0 by a Produce request (version 3) with one record batch (version 2).
pub(crate) fn produce(broker: &str, topic: &str, value: &[u8], headers: &[(&[u8], &[u8])]) {
    let mut record = vec![0];
    varint(&mut record, 0);
    varint(&mut record, 0);
    varint(&mut record, -1);
    bytes(&mut record, value);
    varint(&mut record, headers.len() as i64);
    for (name, value) in headers {
        bytes(&mut record, name);
        bytes(&mut record, value);
    }
    // The checksum covers everything from the attributes on.
    let mut covered = Vec::new();
    covered.extend(0i16.to_be_bytes());
    covered.extend(0i32.to_be_bytes());
    covered.extend([0i64.to_be_bytes(), 0i64.to_be_bytes(), (-1i64).to_be_bytes()].concat());
    covered.extend((-1i16).to_be_bytes());
    covered.extend((-1i32).to_be_bytes());
    covered.extend(1i32.to_be_bytes());
    bytes(&mut covered, &record);
    let mut batch = Vec::new();
    batch.extend(0i64.to_be_bytes());
    batch.extend((covered.len() as i32 + 9).to_be_bytes());
    batch.extend((-1i32).to_be_bytes());
    batch.push(2);
    batch.extend(crc32c(&covered).to_be_bytes());
    batch.extend(covered);

    let mut request = Vec::new();
    request.extend([0i16.to_be_bytes(), 3i16.to_be_bytes()].concat());
    request.extend(7i32.to_be_bytes());
    request.extend((-1i16).to_be_bytes()); // no client id
    request.extend((-1i16).to_be_bytes()); // no transaction
    request.extend((-1i16).to_be_bytes()); // acks=all
    request.extend(10_000i32.to_be_bytes());
    request.extend(1i32.to_be_bytes());
    request.extend((topic.len() as i16).to_be_bytes());
    request.extend(topic.as_bytes());
    request.extend([1i32.to_be_bytes(), 0i32.to_be_bytes(), (batch.len() as i32).to_be_bytes()].concat());
    request.extend(batch);

    let mut stream = TcpStream::connect(broker).unwrap();
    stream.write_all(&(request.len() as i32).to_be_bytes()).unwrap();
    stream.write_all(&request).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; i32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).unwrap();
    // Correlation id, one topic with its name, one partition with its index; then the error code.
    let at = 4 + 4 + 2 + topic.len() + 4 + 4;
    assert_eq!(answer[at..at + 2], [0, 0], "the broker refused the record");
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    varint(out, bytes.len() as i64);
    out.extend(bytes);
}

/// Zigzag, then base 128.
fn varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = (value << 1 ^ value >> 63) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 },
        )
    })
}
