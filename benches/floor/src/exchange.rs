//! Where the two messages of a connection stand, a request and its answer: pure, bytes in, a decision out.
//!
//!     Head --whole, in one receive--> Body(left) --all of it--> Head
//!
//! One exchange at a time: a request that comes ahead of the answer to the one before it is refused, as is a head in pieces.

#![forbid(unsafe_code)]

use crate::head::{Head, Lines};

pub const CLIENT: usize = 0;
pub const TARGET: usize = 1;

/// A client's connection and the target's behind it.
#[derive(Clone)]
pub struct Exchange {
    lines: Lines,
    /// What comes next from each side.
    parts: [Part; 2],
    /// A request went on, and its answer has not come to its end.
    asked: bool,
    /// One of the sides wants no further exchange on its connection.
    last: [bool; 2],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Head,
    /// Bytes that are left of it, at least one.
    Body(u64),
}

impl Exchange {
    /// Of a new client, whose requests get these lines.
    pub fn new(lines: Lines) -> Self {
        Self { lines, parts: [Part::Head; 2], asked: false, last: [false; 2] }
    }

    /// Takes what a side sent, which `room` has from `at` on: where begins what goes on, which is all the rest of `room`. None for
    /// what the floor does not speak.
    #[inline]
    pub fn take(&mut self, side: usize, room: &mut [u8], at: usize) -> Option<usize> {
        let (start, body, left) = match self.parts[side] {
            Part::Body(left) => (at, room.len() - at, left),
            Part::Head if side == CLIENT => {
                let head = Head::of_request(&room[at..]).filter(|_| !self.asked)?;
                self.asked = true;
                self.last[CLIENT] |= head.closes;
                (head.rewrite(room, at, self.lines.as_bytes()), room.len() - at - head.length, head.body_bytes)
            }
            Part::Head => {
                let head = Head::of_answer(&room[at..]).filter(|_| self.asked)?;
                self.last[TARGET] |= head.closes;
                let lines = if self.last == [false; 2] { &b""[..] } else { b"Connection: close\r\n" };
                (head.rewrite(room, at, lines), room.len() - at - head.length, head.body_bytes)
            }
        };
        self.parts[side] = match left.checked_sub(body as u64)? {
            0 => Part::Head,
            left => Part::Body(left),
        };
        self.asked &= side == CLIENT || self.parts[TARGET] != Part::Head;
        Some(start)
    }

    /// The client has ended: there is no further exchange after this one.
    pub fn end_client(&mut self) {
        self.last[CLIENT] = true;
    }

    /// The client's last request is whole.
    #[inline]
    pub fn is_asked_last(&self) -> bool {
        self.last[CLIENT] && self.parts[CLIENT] == Part::Head
    }

    /// Nothing is under way.
    #[inline]
    pub fn is_idle(&self) -> bool {
        !self.asked && self.parts == [Part::Head; 2]
    }

    /// The client's connection ends here.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.is_idle() && self.last != [false; 2]
    }

    /// The target's connection serves another client after this one.
    pub fn keeps_target(&self) -> bool {
        self.is_idle() && !self.last[TARGET]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: usize = 192;

    fn exchange() -> Exchange {
        Exchange::new(Lines::new([10, 0, 0, 1].into(), 80))
    }

    /// What goes on of what a side sent.
    fn take(exchange: &mut Exchange, side: usize, bytes: &str) -> Option<String> {
        let mut room = [&[b'?'; AT][..], bytes.as_bytes()].concat();
        let start = exchange.take(side, &mut room, AT)?;
        Some(String::from_utf8(room[start..].to_vec()).expect("text"))
    }

    #[test]
    fn bodies_pass_as_they_are_and_end_where_their_length_says() {
        let mut exchange = exchange();
        let head = take(&mut exchange, CLIENT, "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab").expect("passes");
        assert!(head.ends_with("\r\nX-Real-IP: 10.0.0.1\r\n\r\nab"), "{head}");
        assert_eq!(take(&mut exchange, CLIENT, "cde").as_deref(), Some("cde"));
        assert!(!exchange.is_idle());
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(take(&mut exchange, TARGET, answer).as_deref(), Some(answer));
        assert_eq!(take(&mut exchange, TARGET, "abc").as_deref(), Some("abc"));
        assert!(exchange.is_idle() && !exchange.is_over() && exchange.keeps_target());
    }

    #[test]
    fn a_client_that_wants_to_close_is_told_so_and_the_target_is_kept() {
        let mut exchange = exchange();
        let head = take(&mut exchange, CLIENT, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n").expect("passes");
        assert!(!head.contains("close"), "{head}");
        let answer = take(&mut exchange, TARGET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("passes");
        assert!(answer.ends_with("\r\nConnection: close\r\n\r\n"), "{answer}");
        assert!(exchange.is_over() && exchange.keeps_target());
    }

    #[test]
    fn a_target_that_closes_is_not_kept() {
        let mut exchange = exchange();
        take(&mut exchange, CLIENT, "GET / HTTP/1.1\r\n\r\n").expect("passes");
        take(&mut exchange, TARGET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .expect("passes");
        assert!(exchange.is_over() && !exchange.keeps_target());
    }

    #[test]
    fn what_nobody_asked_for_and_what_comes_too_early_is_refused() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(take(&mut exchange(), TARGET, answer), None);
        let mut exchange = exchange();
        take(&mut exchange, CLIENT, "GET / HTTP/1.1\r\n\r\n").expect("passes");
        assert_eq!(take(&mut exchange, CLIENT, "GET / HTTP/1.1\r\n\r\n"), None);
        assert_eq!(take(&mut exchange, TARGET, &format!("{answer}too long")), None);
    }
}
