//! Connections that never end: heads, bodies, and too many of both.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use jangteo_testkit::RawConnection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::report::Report;
use crate::rights::Victim;
use crate::target::{Answer, Request, Target};

/// The pause between two drips.
const PAUSE: Duration = Duration::from_millis(200);
/// More sockets than an own server has descriptors for.
const SOCKETS: usize = 290;

const HEAD: &str = "GET /v1/products?limit=1 HTTP/1.1\r\nhost: shop\r\n";
const CHUNKED: &str = "host: shop\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n";

/// A connection that its client never ends.
struct Endless {
    name: &'static str,
    first: String,
    /// Sent again and again; empty for silence.
    drip: &'static str,
}

fn endless(target: &Target, victim: &Victim) -> Vec<Endless> {
    let bearer = format!("authorization: Bearer {}\r\n", target.user(&victim.user));
    let top_ups = format!("POST {}/top-ups HTTP/1.1\r\n{bearer}", victim.points());
    let get = format!("GET {} HTTP/1.1\r\n{bearer}", victim.points());
    let one = |name, first: String, drip| Endless { name, first, drip };
    vec![
        one("silence", String::new(), ""),
        one("a head by the byte", String::new(), "G"),
        one("headers without end", HEAD.to_owned(), "x: y\r\n"),
        one("half a head", HEAD.to_owned(), ""),
        one("half a second head", format!("{HEAD}\r\n{HEAD}"), ""),
        one("a second head by the byte", format!("{HEAD}\r\nG"), "E"),
        one("half a third head", format!("{HEAD}\r\n{HEAD}\r\n{HEAD}"), ""),
        one("a second head behind a body", format!("{top_ups}{CHUNKED}1\r\n}}\r\n0\r\n\r\n{HEAD}"), "x: y\r\n"),
        one("a body for 404", format!("POST /v1/nothing HTTP/1.1\r\n{CHUNKED}"), "1\r\nx\r\n"),
        one("a body for 404 outside of the API", format!("POST /nothing HTTP/1.1\r\n{CHUNKED}"), "1\r\nx\r\n"),
        one("a body for 401", format!("POST /v1/orders HTTP/1.1\r\n{CHUNKED}"), "1\r\nx\r\n"),
        one("a body for 405", format!("POST /v1/products HTTP/1.1\r\n{CHUNKED}"), "1\r\nx\r\n"),
        one("a body of GET", format!("GET /v1/products HTTP/1.1\r\n{CHUNKED}"), "1\r\nx\r\n"),
        one("a body of GET with a token", format!("{get}{CHUNKED}"), "1\r\nx\r\n"),
        one("a silent body for 404", format!("POST /v1/nothing HTTP/1.1\r\n{CHUNKED}"), ""),
        one(
            "a silent body of a known length",
            "POST /v1/orders HTTP/1.1\r\nhost: shop\r\ncontent-length: 100000\r\n\r\n{".to_owned(),
            "",
        ),
        one("a body that is read, in chunks", format!("{top_ups}{CHUNKED}"), "1\r\n \r\n"),
        one("a body that is read, and silent", format!("{top_ups}{CHUNKED}"), ""),
        one("a chunk extension without end", format!("{top_ups}{}", CHUNKED.replace("1\r\n{\r\n", "1;a=")), "b"),
        one("trailers without end", format!("{top_ups}{CHUNKED}0\r\n"), "x: y\r\n"),
    ]
}

pub async fn attack(target: &Target, victim: &Victim, hold: Duration, report: &mut Report) {
    heads(target, report).await;
    let endless = endless(target, victim);
    let held = join_all(endless.iter().map(async |one| keep_open(target, one, hold).await)).await;
    for (one, is_closed) in endless.iter().zip(held) {
        let got = if is_closed { Answer::Closed } else { Answer::Fact(format!("open after {} s", hold.as_secs())) };
        report.add(format!("endless: {}", one.name), "closed", &got);
    }
    crowd(target, victim, &endless, hold, report).await;
}

/// Heads above 16 KiB.
async fn heads(target: &Target, report: &mut Report) {
    let large = format!("{HEAD}x-large: {}", "x".repeat(17_000));
    report.add(
        "a head of 17 KB",
        "431",
        &target.send_raw(format!("{large}\r\nconnection: close\r\n\r\n").as_bytes()).await,
    );
    report.add("a head of 17 KB that does not end", "431", &target.send_raw(large.as_bytes()).await);
    let mut connection = match RawConnection::connect(target.address).await {
        Ok(connection) => connection,
        Err(_) => return report.add("a second head of 17 KB", "431", &Answer::Closed),
    };
    let mut status = 0;
    for head in [format!("{HEAD}\r\n"), large] {
        connection.send(head.as_bytes()).await;
        let response = connection.response_within(Duration::from_secs(60)).await;
        status = response.ok().flatten().map_or(0, |response| response.status);
    }
    report.add("a second head of 17 KB", "431", &Answer::Fact(status.to_string()));
}

/// Keeps a connection open as long as the server permits. Returns whether the server has closed it within `hold`.
async fn keep_open(target: &Target, endless: &Endless, hold: Duration) -> bool {
    let Ok(mut connection) = TcpStream::connect(target.address).await else { return true };
    let began = Instant::now();
    if connection.write_all(endless.first.as_bytes()).await.is_err() {
        return true;
    }
    let (mut reader, mut writer) = connection.split();
    let mut buffer = [0; 4_096];
    while began.elapsed() < hold {
        match timeout(PAUSE, reader.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return true,
            Ok(Ok(_)) => {}
            Err(_silence) if writer.write_all(endless.drip.as_bytes()).await.is_err() => return true,
            Err(_silence) => {}
        }
    }
    false
}

/// As many connections as nearly use up the server's descriptors, each replaced when it is closed, while an honest caller
/// asks on.
async fn crowd(target: &Target, victim: &Victim, endless: &[Endless], hold: Duration, report: &mut Report) {
    let is_over = AtomicBool::new(false);
    let attackers = join_all(endless.iter().cycle().take(SOCKETS).map(async |one| {
        while !is_over.load(Ordering::Relaxed) {
            keep_open(target, one, hold).await;
        }
    }));
    let honest = async {
        let began = Instant::now();
        let request = Request::get(victim.points()).bearer(&target.user(&victim.user));
        let (mut served, mut asked) = (0_u32, 0_u32);
        while began.elapsed() < hold || asked < 10 {
            asked += 1;
            served += u32::from(target.send(&request).await.to_string() == "200");
            sleep(PAUSE).await;
        }
        is_over.store(true, Ordering::Relaxed);
        (served, asked)
    };
    let (_, (served, asked)) = tokio::join!(attackers, honest);
    let name = format!("{SOCKETS} endless connections: an honest caller is served");
    report.add(name, &format!("{asked} of {asked}"), &Answer::Fact(format!("{served} of {asked}")));
}
