//! Any bytes in any field: a record gives back what it was made of, and each format one line that can be read back.

use std::net::IpAddr;

use proptest::array::{uniform8, uniform12};
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::record::{RECORD_BYTES_MAX, decode, encode};
use super::super::{alb, json};
use super::*;

/// What an entry borrows, and the rest.
#[derive(Debug)]
struct Made {
    names: [String; 8],
    texts: [Vec<u8>; 8],
    numbers: [Option<u64>; 12],
    missed: Vec<SocketAddr>,
    target: Option<SocketAddr>,
    kind: u8,
}

prop_compose! {
    fn made()(
        names in uniform8(".{0,12}"),
        texts in uniform8(vec(any::<u8>(), 0..40)),
        numbers in uniform12(proptest::option::of(0..u64::MAX)),
        missed in vec(any::<(IpAddr, u16)>().prop_map(SocketAddr::from), 0..5),
        target in proptest::option::of(any::<(IpAddr, u16)>().prop_map(SocketAddr::from)),
        kind in any::<u8>(),
    ) -> Made {
        Made { names, texts, numbers, missed, target, kind }
    }
}

impl Made {
    fn entry(&self) -> Entry<'_> {
        let number = |index: usize| self.numbers[index].unwrap_or(0);
        let short = |index: usize| u16::try_from(number(index) & 0xffff).unwrap();
        let what = match self.kind % 3 {
            0 => What::Connection,
            of_request => What::Request(Request {
                kind: if of_request == 1 { Kind::Http } else { Kind::WebSocket },
                number: u32::from(short(0)),
                line: if self.kind < 128 {
                    Line::Parsed { method: &self.texts[0], uri: &self.texts[1], version: &self.names[4] }
                } else {
                    Line::Raw(&self.texts[1])
                },
                host: &self.texts[2],
                port: short(1),
                status: Some(short(2)).filter(|status| *status > 0),
                target_status: None,
                request_us: self.numbers[8],
                target_us: self.numbers[9],
                response_us: self.numbers[10],
                user_agent: &self.texts[3],
                trace_id: &self.texts[4],
                domain_name: &self.texts[5],
                rule: [Rule::None, Rule::Failed, Rule::Default, Rule::Priority(short(3))]
                    [usize::from(self.kind / 4 % 4)],
                action: [None, Some(Action::Forward), Some(Action::Redirect), Some(Action::FixedResponse)]
                    [usize::from(self.kind / 16 % 4)],
                redirect_url: &self.texts[6],
                classification: &self.names[5],
                classification_reason: &self.names[6],
                transformed_host: &self.texts[7],
                transformed_uri: &self.texts[0],
                transform_status: &self.names[7],
            }),
        };
        Entry {
            ended_at_us: number(4),
            lasted_us: number(5),
            balancer: &self.names[0],
            listener: &self.names[1],
            client: SocketAddr::from(([192, 0, 2, 1], short(6))),
            connection: number(7),
            target_group: &self.names[2],
            missed: &self.missed,
            target: self.target,
            received_bytes: number(8),
            sent_bytes: number(9),
            queue_us: self.numbers[0],
            connect_us: self.numbers[1],
            first_byte_us: self.numbers[11],
            reason: &self.names[3],
            what,
        }
    }
}

/// The fields of a line, without their quotes.
fn fields(line: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (field, after) = quoted.split_once('"').expect("the quote ends");
                (field, after)
            }
            None => rest.split_at(rest.find(' ').unwrap_or(rest.len())),
        };
        fields.push(field.to_owned());
        let Some(after) = after.strip_prefix(' ') else {
            assert_eq!(after, "", "a space or the end comes behind a field");
            return fields;
        };
        rest = after;
    }
}

/// What a field says; a dash is nothing.
fn unescaped(field: &str) -> Vec<u8> {
    if field == "-" {
        return Vec::new();
    }
    let mut parts = field.split("\\x");
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}

/// A client may send a dash.
fn or_dash(bytes: &[u8]) -> &[u8] {
    if bytes == b"-" { b"" } else { bytes }
}

proptest! {
    #[test]
    fn a_record_gives_back_what_it_was_made_of(first in made(), second in made()) {
        let mut bytes = Vec::new();
        encode(&first.entry(), &mut bytes);
        encode(&second.entry(), &mut bytes);
        let (mut rest, mut missed) = (&bytes[..], Vec::new());
        prop_assert_eq!(decode(&mut rest, &mut missed), Ok(first.entry()));
        prop_assert_eq!(decode(&mut rest, &mut missed), Ok(second.entry()));
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn bytes_that_are_no_record_are_refused_or_read_and_nothing_else_happens(bytes in vec(any::<u8>(), 0..400)) {
        let mut rest = &bytes[..];
        while decode(&mut rest, &mut Vec::new()).is_ok() {}
    }

    #[test]
    fn half_a_record_is_refused(made in made(), share in 0.0..1.0) {
        let mut bytes = Vec::new();
        encode(&made.entry(), &mut bytes);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in it")]
        let mut half = &bytes[..(bytes.len() as f64 * share) as usize];
        prop_assert!(decode(&mut half, &mut Vec::new()).is_err());
    }

    #[test]
    fn r_m3_any_bytes_give_one_alb_line_of_33_fields(made in made()) {
        let mut out = Vec::new();
        alb::write(&made.entry(), &ORIGIN, &mut out);
        let line = String::from_utf8(out).unwrap();
        prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
        prop_assert!(line.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ' || byte == b'\n'));
        let fields = fields(&line[..line.len() - 1]);
        prop_assert_eq!(fields.len(), 33);
        prop_assert_eq!(unescaped(&fields[2]), or_dash(made.names[0].as_bytes()));
        prop_assert_eq!(unescaped(&fields[24]), or_dash(made.names[3].as_bytes()));
        if let What::Request(request) = made.entry().what {
            prop_assert_eq!(fields[12].split(' ').count(), 3, "{}", &fields[12]);
            prop_assert_eq!(unescaped(&fields[13]), or_dash(request.user_agent));
            prop_assert_eq!(unescaped(&fields[23]), or_dash(request.redirect_url));
            prop_assert_eq!(unescaped(&fields[31]), or_dash(request.transformed_uri));
        }
    }

    #[test]
    fn r_m3_any_bytes_give_one_json_object_in_a_line(made in made()) {
        let mut out = Vec::new();
        json::write(&made.entry(), &ORIGIN, &mut out);
        prop_assert_eq!(out.iter().position(|byte| *byte == b'\n'), Some(out.len() - 1));
        prop_assert!(!out[..out.len() - 1].iter().any(u8::is_ascii_control));
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&out).unwrap();
        let text = |key: &str| object.get(key).map_or("", |value| value.as_str().unwrap());
        prop_assert_eq!(text("balancer"), &made.names[0]);
        prop_assert_eq!(&object["sent_bytes"], made.entry().sent_bytes);
        if let What::Request(request) = made.entry().what {
            prop_assert_eq!(text("user_agent"), String::from_utf8_lossy(request.user_agent));
            prop_assert_eq!(text("host"), String::from_utf8_lossy(request.host));
            let (uri, raw) = match request.line {
                Line::Parsed { uri, .. } => (uri, &b""[..]),
                Line::Raw(raw) => (&b""[..], raw),
            };
            prop_assert_eq!(text("uri"), String::from_utf8_lossy(uri));
            prop_assert_eq!(text("request_line"), String::from_utf8_lossy(raw));
        }
    }
}

#[test]
fn the_longest_record_is_as_long_as_its_bound_at_most_and_is_cut_where_it_says() {
    let (long, name) = (vec![b'a'; 100_000], "n".repeat(1000));
    let missed = vec!["[fd00::9]:80".parse().unwrap(); 300];
    let what = What::Request(Request {
        line: Line::Parsed { method: &long, uri: &long, version: &name },
        host: &long,
        user_agent: &long,
        trace_id: &long,
        domain_name: &long,
        redirect_url: &long,
        classification: &name,
        classification_reason: &name,
        transformed_host: &long,
        transformed_uri: &long,
        transform_status: &name,
        ..request()
    });
    let client = missed[0];
    let names = Entry { balancer: &name, listener: &name, target_group: &name, reason: &name, ..entry(&what) };
    let mut bytes = Vec::new();
    encode(&Entry { client, target: Some(client), missed: &missed, ..names }, &mut bytes);
    assert!(bytes.len() <= RECORD_BYTES_MAX, "{}", bytes.len());
    let mut missed = Vec::new();
    let read = decode(&mut &bytes[..], &mut missed).unwrap();
    let What::Request(read_request) = read.what else { panic!("it is a request") };
    assert_eq!((read.missed.len(), read.balancer.len()), (11, 255));
    assert_eq!((read_request.user_agent.len(), read_request.transformed_uri.len()), (8 << 10, 16 << 10));
}
