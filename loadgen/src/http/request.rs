//! Requests: as the generator makes them, and as its server reads them.

use std::sync::Arc;

use super::message::{BadMessage, Body, Framing, HEADERS_MAX, Meaning, escaped};

/// A request as it goes out.
#[derive(Debug, Clone)]
pub struct Request {
    /// Head and body.
    pub bytes: Arc<[u8]>,
    /// Its answer has no body, whatever its head says.
    pub is_head: bool,
    /// Its share among the others.
    pub weight: u32,
}

/// What requests are made of.
#[derive(Debug, Clone)]
pub struct Template {
    /// GET and the like.
    pub method: String,
    /// Further headers, or others instead of ours.
    pub headers: Vec<(String, String)>,
    /// Empty for none.
    pub body: Vec<u8>,
    /// The connection is not used again.
    pub closes: bool,
}

impl Template {
    /// The request for `target`, path and query, at `host`.
    #[must_use]
    pub fn request(&self, host: &str, target: &str, weight: u32) -> Request {
        let given = |name: &str| self.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
        let has_body = !self.body.is_empty() || ["POST", "PUT", "PATCH"].contains(&self.method.as_str());
        let mut lines = vec![format!("{} {target} HTTP/1.1", self.method)];
        if !given("host") {
            lines.push(format!("Host: {host}"));
        }
        lines.extend(self.headers.iter().map(|(name, value)| format!("{name}: {value}")));
        if has_body && !given("content-length") {
            lines.push(format!("Content-Length: {}", self.body.len()));
        }
        if self.closes && !given("connection") {
            lines.push("Connection: close".to_owned());
        }
        let head = lines.join("\r\n") + "\r\n\r\n";
        let bytes = [head.as_bytes(), &self.body].concat();
        Request { bytes: bytes.into(), is_head: self.method == "HEAD", weight }
    }
}

/// The requests of a run, and how often each is drawn.
#[derive(Debug, Clone)]
pub struct Requests {
    requests: Vec<Request>,
    /// Sum of the weights of each and of those before it: to draw one is a search, however many there are.
    sums: Vec<u64>,
}

impl Requests {
    /// In the order in which they are counted.
    #[must_use]
    pub fn new(requests: Vec<Request>) -> Self {
        let mut sum = 0;
        let sums = requests.iter().map(|request| {
            sum += u64::from(request.weight);
            sum
        });
        let sums = sums.collect();
        Requests { requests, sums }
    }

    /// The number of one of them, by weight; 0 if there are none.
    #[must_use]
    pub fn pick(&self, dice: &mut fastrand::Rng) -> usize {
        match self.sums.last() {
            Some(&total) if self.sums.len() > 1 && total > 0 => {
                let point = dice.u64(..total);
                self.sums.partition_point(|sum| *sum <= point)
            }
            _ => 0,
        }
    }

    /// Request `index`.
    ///
    /// # Panics
    /// There is no such request.
    #[must_use]
    pub fn get(&self, index: usize) -> &Request {
        &self.requests[index]
    }
}

/// What a request's head said to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Bytes that it wants, where its path says (`/bytes/N`).
    pub body_bytes: Option<u64>,
    /// It wants a head and no body.
    pub is_head: bool,
    /// The connection may be used again.
    pub keeps_alive: bool,
    body: Body,
}

impl Meaning for Asked {
    fn parse(bytes: &[u8]) -> Result<Option<(usize, Self)>, BadMessage> {
        let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        let length = match request.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(BadMessage(format!("no HTTP/1 request ({error}): {}", escaped(bytes)))),
        };
        let framing = Framing::read(request.version, request.headers)?;
        let path = request.path.unwrap_or_default();
        let asked = Asked {
            body_bytes: path.strip_prefix("/bytes/").and_then(|count| count.parse().ok()),
            is_head: request.method == Some("HEAD"),
            keeps_alive: framing.keeps_alive,
            body: framing.body(Body::None),
        };
        Ok(Some((length, asked)))
    }

    fn body(&self, _to_head: bool) -> Body {
        self.body
    }
}

#[cfg(test)]
mod tests {
    use super::super::MessageReader;
    use super::*;

    #[test]
    fn urls_come_as_often_as_their_weights_say() {
        let template = Template { method: "GET".into(), headers: vec![], body: vec![], closes: false };
        let requests = Requests::new(vec![template.request("a", "/", 9), template.request("a", "/b", 1)]);
        let mut dice = fastrand::Rng::with_seed(4);
        let second = (0..10_000).filter(|_| requests.pick(&mut dice) == 1).count();
        assert!((900..1_100).contains(&second), "{second}");
    }

    #[test]
    fn each_of_a_thousand_urls_is_drawn() {
        let template = Template { method: "GET".into(), headers: vec![], body: vec![], closes: false };
        let requests = Requests::new((0..1_000).map(|at| template.request("a", &format!("/{at}"), 1)).collect());
        let mut dice = fastrand::Rng::with_seed(4);
        let mut drawn = vec![0; 1_000];
        (0..100_000).for_each(|_| drawn[requests.pick(&mut dice)] += 1);
        // 100 each, and six deviations.
        assert!(drawn.iter().all(|count| (40..160).contains(count)), "{drawn:?}");
    }

    #[test]
    fn a_request_says_what_it_must_and_nothing_twice() {
        let headers = vec![("host".to_owned(), "b".to_owned()), ("X-A".to_owned(), "1".to_owned())];
        let template = Template { method: "POST".into(), headers, body: b"hi".to_vec(), closes: true };
        let text = String::from_utf8(template.request("a", "/x?y", 1).bytes.to_vec()).unwrap();
        assert_eq!(text, "POST /x?y HTTP/1.1\r\nhost: b\r\nX-A: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
    }

    #[test]
    fn a_server_reads_what_a_template_makes() {
        let template = Template { method: "PUT".into(), headers: vec![], body: vec![b'x'; 40_000], closes: true };
        let bytes = template.request("a", "/bytes/123", 1).bytes;
        let mut reader = MessageReader::<Asked>::default();
        let (first, rest) = bytes.split_at(20);
        assert_eq!(reader.feed(false, first).unwrap(), (20, None));
        let (taken, asked) = reader.feed(false, rest).unwrap();
        let asked = asked.expect("whole");
        assert_eq!((taken, asked.body_bytes, asked.keeps_alive), (rest.len(), Some(123), false));
    }
}
