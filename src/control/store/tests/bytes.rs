//! The file format: what is saved is what is read, and no byte changes unnoticed.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::control::store::format::{Fault, decode, decode_head, encode};

fn any_saved() -> impl Strategy<Value = Saved> {
    let at = (0..253_402_300_800_u64, 0..1_000_000_000_u32)
        .prop_map(|(seconds, nanos)| UNIX_EPOCH + Duration::new(seconds, nanos));
    (any::<u64>(), at, any::<String>(), any::<String>(), vec(any::<u8>(), 0..300))
        .prop_map(|(revision, at, who, what, body)| Saved { revision, at, who, what, body })
}

fn file_of(saved: &Saved) -> Vec<u8> {
    encode(saved).unwrap()
}

proptest! {
    #[test]
    fn what_is_saved_is_what_is_read(saved in any_saved()) {
        let file = file_of(&saved);
        let head = decode_head(&file[..file.len().min(HEAD_BYTES_MAX)], file.len() as u64).unwrap();
        prop_assert_eq!(head.meta, saved.meta());
        prop_assert_eq!(decode(file).unwrap(), saved);
    }

    #[test]
    fn r_k4_a_change_of_any_byte_is_found(saved in any_saved(), at in any::<Index>(), change in 1..=u8::MAX) {
        let mut file = file_of(&saved);
        let at = at.index(file.len());
        file[at] ^= change;
        prop_assert!(decode(file).is_err(), "byte {}", at);
    }

    #[test]
    fn r_k4_a_file_that_is_cut_anywhere_is_torn(saved in any_saved(), at in any::<Index>()) {
        let mut file = file_of(&saved);
        file.truncate(at.index(file.len()));
        let fault = decode(file).unwrap_err();
        prop_assert!(matches!(fault, Fault::Empty | Fault::Torn { .. }), "{}", fault);
    }

    #[test]
    fn r_k4_a_file_whose_end_is_zeros_is_found(saved in any_saved(), at in any::<Index>()) {
        let mut file = file_of(&saved);
        let at = at.index(file.len());
        prop_assume!(file[at..].iter().any(|byte| *byte != 0));
        file[at..].fill(0);
        prop_assert!(decode(file).is_err());
    }

    #[test]
    fn a_file_that_goes_on_is_found(saved in any_saved(), more in vec(any::<u8>(), 1..50)) {
        let file = [file_of(&saved), more].concat();
        let is_longer = matches!(decode(file), Err(Fault::Longer { .. }));
        prop_assert!(is_longer);
    }

    #[test]
    fn two_files_with_parts_exchanged_are_neither(a in any_saved(), b in any_saved(), at in any::<Index>()) {
        let (a, b) = (file_of(&a), file_of(&b));
        let at = at.index(a.len().min(b.len()));
        let mixed = [&a[..at], &b[at..]].concat();
        prop_assume!(mixed != a && mixed != b);
        prop_assert!(decode(mixed).is_err());
    }

    #[test]
    fn any_bytes_are_survived(begins in option::of(Just(b"weir-state 1 ")), bytes in vec(any::<u8>(), 0..300), more in any::<u64>()) {
        let bytes = [begins.map_or(&b""[..], |begins| &begins[..]), &bytes].concat();
        let _ = decode_head(&bytes, (bytes.len() as u64).saturating_add(more));
        prop_assert!(decode(bytes).is_err());
    }

    #[test]
    fn a_head_that_only_its_checksum_vouches_for_is_survived(
        at in "[0-9TZ:.+ä-]{0,40}", body_bytes in any::<u64>(), json in option::of(".{0,60}"),
    ) {
        let line = json.unwrap_or_else(|| serde_json::json!({
            "revision": 1, "at": at, "who": "", "what": "", "body_bytes": body_bytes, "body_blake3": "",
        }).to_string());
        let line = line.replace('\n', " ");
        let file = format!("weir-state 1 {}\n{line}\n", blake3::hash(line.as_bytes()).to_hex());
        prop_assert!(decode(file.into_bytes()).is_err());
    }
}

#[test]
fn r_k4_every_byte_of_a_file_counts() {
    let file = file_of(&Saved { body: b"body".to_vec(), ..saved(1) });
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut changed = file.clone();
            changed[at] ^= 1 << bit;
            assert!(decode(changed).is_err(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn a_file_is_text_that_a_person_can_read() {
    let saved = Saved { who: "me".into(), what: "a\nb".into(), body: b"{}".to_vec(), ..saved(7) };
    let text = String::from_utf8(file_of(&saved)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("weir-state 1 "), "{text}");
    let says =
        "{\"revision\":7,\"at\":\"2027-01-15T08:00:00.123456796Z\",\"who\":\"me\",\"what\":\"a\\nb\",\"body_bytes\":2,";
    assert!(lines[1].starts_with(says), "{text}");
    assert_eq!(lines[2..], ["{}"]);
}

#[test]
fn a_clock_that_is_far_off_keeps_nothing_from_being_saved() {
    for (at, reads) in [
        (UNIX_EPOCH - Duration::from_secs(5), UNIX_EPOCH),
        (UNIX_EPOCH + Duration::from_secs(1 << 40), UNIX_EPOCH + Duration::new(253_402_300_799, 999_999_999)),
    ] {
        assert_eq!(decode(file_of(&Saved { at, ..saved(1) })).unwrap().at, reads);
    }
}

#[test]
fn what_is_wrong_is_said() {
    let file = file_of(&Saved { body: b"body".to_vec(), ..saved(1) });
    let length = file.len();
    let says = |bytes: &[u8]| decode(bytes.to_vec()).unwrap_err().to_string();
    let changed = |at: usize| {
        let mut file = file.clone();
        file[at] ^= 1;
        file
    };
    assert_eq!(says(b""), "the file is torn: it is empty");
    assert_eq!(says(&file[..5]), "the file is torn: 5 bytes are there of an unknown number");
    assert_eq!(says(&file[..100]), "the file is torn: 100 bytes are there of an unknown number");
    assert_eq!(says(&file[..length - 1]), format!("the file is torn: {} bytes are there of {length}", length - 1));
    assert_eq!(
        says(&[&file[..], b"x"].concat()),
        format!("the file is damaged: it has {} bytes, and {length} were saved", length + 1)
    );
    assert_eq!(says(&changed(100)), "the file is damaged: its head is not what was saved");
    assert_eq!(says(&changed(length - 1)), "the file is damaged: its body is not what was saved");
    assert_eq!(says(&vec![0; 4096]), "this is not a file that weir saved");
    assert_eq!(says(b"[balancer]\n"), "this is not a file that weir saved");
    let later = [b"weir-state 2 ", &file[13..]].concat();
    let other = "the file has format \"2\", and this version of weir reads format \"1\": it is another version's";
    assert_eq!(says(&later), other);
}

#[test]
fn a_text_without_end_is_not_a_torn_head() {
    let bytes = [b"weir-state 1 ", &vec![b'a'; HEAD_BYTES_MAX][..]].concat();
    assert!(matches!(decode_head(&bytes[..HEAD_BYTES_MAX], bytes.len() as u64), Err(Fault::Foreign)));
}
