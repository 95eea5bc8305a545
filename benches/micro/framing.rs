//! Reading a head and writing it for the other side: each request pays for both, twice.
//!
//!     bytes --read--> head --write, edits--> bytes --clear--> the next
//!
//! The heads come whole in one piece, as nearly all do, and the buffers are warm. `floor` is what the lines alone cost: httparse
//! and a copy, without a decision.

use std::hint::black_box;

use criterion::{Criterion, Throughput};

use weir::l7::framing::{
    ClientConnection, Length, RequestEdits, RequestHead, ResponseEdits, ResponseHead, Upgrade, Version,
};

/// Eight fields, as curl or a library sends behind a proxy.
const GET: &[u8] =
    b"GET /api/v1/things?page=2&sort=name HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: python-requests/2.32.3\r\n\
    Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\nCookie: sid=31d4d96e407aad42\r\n\
    X-Request-Id: 0af7651916cd43dd8448eb211c80319c\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n";
/// What a browser sends to open a page.
const BROWSER: &[u8] = b"GET /movie/ HTTP/1.1\r\nHost: www.example.com\r\nConnection: keep-alive\r\nCache-Control: max-age=0\r\n\
    sec-ch-ua: \"Not/A)Brand\";v=\"8\", \"Chromium\";v=\"126\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n\
    Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 \
    Safari/537.36\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\nCookie: sid=31d4d96e407aad42; theme=dark\r\n\r\n";
/// Seven fields, as nginx sends.
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.24.0\r\nDate: Tue, 02 Jul 2024 10:00:00 GMT\r\nContent-Type: text/html\r\n\
    Content-Length: 612\r\nLast-Modified: Mon, 01 Jul 2024 10:00:00 GMT\r\nConnection: keep-alive\r\nETag: \"66827f00-264\"\r\n\r\n";

const DROP: [&str; 3] = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-port"];
const ADD: &[u8] = b"X-Forwarded-For: 203.0.113.7, 10.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 80\r\n";

pub fn bench(criterion: &mut Criterion) {
    requests(criterion);
    response(criterion);
}

fn requests(criterion: &mut Criterion) {
    let edits = RequestEdits {
        version: Version::Http11,
        path_and_query: None,
        host: None,
        drop: &DROP,
        add: ADD,
        upgrade: Upgrade::Drop,
    };
    let mut group = criterion.benchmark_group("framing/request");
    for (name, text) in [("get", GET), ("browser", BROWSER)] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        let (mut head, mut out) = (RequestHead::new(), Vec::new());
        group.bench_function(format!("{name}/read_and_write"), |bencher| {
            bencher.iter(|| {
                head.clear();
                out.clear();
                let read = head.read(black_box(text));
                head.write(&edits, &mut out);
                (read, black_box(&out).len())
            });
        });
        group.bench_function(format!("{name}/read"), |bencher| {
            bencher.iter(|| {
                head.clear();
                head.read(black_box(text))
            });
        });
        group.bench_function(format!("{name}/floor"), |bencher| {
            bencher.iter(|| {
                out.clear();
                let mut parsed = [httparse::EMPTY_HEADER; 32];
                let mut request = httparse::Request::new(&mut parsed);
                let complete = request.parse(black_box(text)).is_ok();
                out.extend_from_slice(text);
                (complete, black_box(&out).len())
            });
        });
    }
    group.finish();
}

fn response(criterion: &mut Criterion) {
    let edits = ResponseEdits {
        connection: ClientConnection::KeepAlive,
        length: Length::AsReceived,
        drop: &["server"],
        add: b"Server: weir\r\n",
        upgrade: Upgrade::Drop,
    };
    let mut group = criterion.benchmark_group("framing/response");
    group.throughput(Throughput::Bytes(OK.len() as u64));
    let (mut head, mut out) = (ResponseHead::new(), Vec::new());
    group.bench_function("read_and_write", |bencher| {
        bencher.iter(|| {
            head.clear();
            out.clear();
            let read = head.read(black_box(OK));
            head.write(&edits, &mut out);
            (read, black_box(&out).len())
        });
    });
    group.bench_function("read", |bencher| {
        bencher.iter(|| {
            head.clear();
            head.read(black_box(OK))
        });
    });
    group.finish();
}
