//! Every number of the parser: what a message may have, and why that much.

/// Longest request line, without its line end: ALB's limit. A longer one is answered with 414.
pub const REQUEST_LINE_BYTES_MAX: usize = 16 << 10;
/// Longest field line, without its line end: ALB's limit. A longer one is answered with 431 (RFC 6585, 5).
pub const FIELD_BYTES_MAX: usize = 16 << 10;
/// All field lines of a request with their line ends: ALB's limit. More is answered with 431.
pub const REQUEST_FIELDS_BYTES_MAX: usize = 64 << 10;
/// Status line and fields of a response with their line ends: ALB's limit. A longer head is a bad response.
pub const RESPONSE_HEAD_BYTES_MAX: usize = 32 << 10;
/// Field lines of a head. Ours: browsers send 20 at most, and who sends more than this wants us to work for little.
pub const FIELDS_MAX: usize = 100;
/// Empty lines that are skipped ahead of a request line (RFC 9112, 2.2 asks for one). Ours.
pub const EMPTY_LINES_MAX: usize = 4;
/// Bytes that a head keeps allocated from message to message: most fit, and an idle connection stays below 4 KiB.
pub const HEAD_BYTES_KEPT: usize = 2 << 10;
/// Field records that a head keeps allocated.
pub const FIELDS_KEPT: usize = 32;

/// Digits of a chunk's size: all that a u64 holds, leading zeros included.
pub const CHUNK_SIZE_DIGITS_MAX: u8 = 16;
/// Chunk extensions of a whole body. Nobody uses them; RFC 9112, 7.1.1 asks for a limit on their sum. Ours.
pub const CHUNK_EXTENSION_BYTES_MAX: u16 = 4 << 10;
/// The trailer section of a body with its line ends. Ours: signatures and checksums are a few hundred bytes.
pub const TRAILER_BYTES_MAX: u16 = 16 << 10;
/// Longest name of a trailer that passes; longer ones are left out. Ours.
pub const TRAILER_NAME_BYTES_MAX: usize = 48;

// Offsets into a head are u32, lengths of names and values u16.
const _: () = assert!(FIELD_BYTES_MAX <= u16::MAX as usize && REQUEST_LINE_BYTES_MAX <= u16::MAX as usize);
