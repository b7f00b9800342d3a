//! Several replicas on one log.

use futures::future::join_all;
use mcx_store::changes::ChangeFeedConfig;

use super::fixture::{
    Log, SOON, announced_only, follow, next_change, on_every_log, subscribe, told, versions,
};

on_every_log!(
    change_reaches_the_clients_of_every_replica,
    client_resumes_at_another_replica,
    replicas_that_write_at_once_tell_the_same_order,
    unannounced_change_is_found_by_polling,
);

async fn change_reaches_the_clients_of_every_replica(log: Log) {
    let replicas = [log.feed(announced_only()), log.feed(announced_only()), log.feed(announced_only())];
    let mut streams = join_all(replicas.iter().map(|feed| follow(feed, &["group/1"]))).await;
    for (version, writer) in (0..6).zip(replicas.iter().cycle()) {
        writer.announce(log.write(&[("group/1", version)]).await);
        for (stream, _) in &mut streams {
            assert_eq!(told(stream, 1).await, versions("group/1", [version]));
        }
    }
}

async fn client_resumes_at_another_replica(log: Log) {
    let first = log.feed(announced_only());
    let (mut stream, _) = follow(&first, &["group/1"]).await;
    first.announce(log.write_versions("group/1", 1..=3).await);
    let token = next_change(&mut stream).await.token;
    let second = log.feed(announced_only());
    let mut stream = subscribe(&second, &["group/1"], Some(token)).await.unwrap();
    assert_eq!(told(&mut stream, 2).await, versions("group/1", 2..=3));
    first.announce(log.write(&[("group/1", 4)]).await);
    assert_eq!(told(&mut stream, 1).await, versions("group/1", [4]));
}

async fn replicas_that_write_at_once_tell_the_same_order(log: Log) {
    let replicas = [log.feed(announced_only()), log.feed(announced_only())];
    let mut streams = join_all(replicas.iter().map(|feed| follow(feed, &["group/1", "group/2"]))).await;
    let writers = replicas.iter().zip(["group/1", "group/2"]).map(|(feed, document)| {
        let log = &log;
        async move {
            for version in 0..40 {
                feed.announce(log.write(&[(document, version)]).await);
            }
        }
    });
    let readers = streams.iter_mut().map(|(stream, _)| told(stream, 80));
    let (_, told) = futures::join!(join_all(writers), join_all(readers));
    assert_eq!(told[0], told[1]);
    for document in ["group/1", "group/2"] {
        let of_document: Vec<_> = told[0].iter().filter(|(of, _)| of == document).cloned().collect();
        assert_eq!(of_document, versions(document, 0..40));
    }
}

async fn unannounced_change_is_found_by_polling(log: Log) {
    let feed = log.feed(ChangeFeedConfig { poll_interval: SOON, ..announced_only() });
    let (mut stream, _) = follow(&feed, &["group/1"]).await;
    log.write(&[("group/1", 1)]).await;
    assert_eq!(told(&mut stream, 1).await, versions("group/1", [1]));
}
