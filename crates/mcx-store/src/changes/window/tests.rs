//! What no test from outside can time.

use std::task::Waker;

use super::*;

/// Changes of these topics, numbered from `first` on, read as one page.
fn page(first: i64, topics: &[&str]) -> LogPage {
    let change = |(topic, sequence): (&&str, i64)| {
        Arc::new(Change {
            token: ResumeToken { log_id: 1, sequence },
            topic: (*topic).into(),
            document: String::new(),
            version: sequence,
            payload: vec![0; 1024].into(),
            recorded_at_micros: 0,
        })
    };
    let last = first + topics.len() as i64 - 1;
    LogPage {
        log_id: 1,
        last_sequence: last,
        compacted_through: 0,
        changes: topics.iter().zip(first..).map(change).collect(),
        covered_through: last,
    }
}

fn window(capacity_bytes: usize) -> Window {
    let mut window = Window::new(capacity_bytes);
    window.restart(1, 0);
    window
}

fn subscribe(window: &mut Window, topics: &[&str], after: i64) -> u64 {
    let token = window.token(after);
    window.subscribe(topics.iter().map(|topic| topic.to_string()), Some(token)).unwrap()
}

/// The sequences of the changes told until something else is next.
fn told(window: &mut Window, id: u64) -> Vec<i64> {
    std::iter::from_fn(|| match window.next(id, Waker::noop()) {
        Next::Tell(Ok(ChangeEvent::Change(change))) => Some(change.token.sequence),
        _ => None,
    })
    .collect()
}

#[test]
fn what_was_read_for_former_topics_is_void() {
    let mut window = window(0);
    window.route(page(1, &["a", "b", "a", "b", "other"]));
    let stream = subscribe(&mut window, &["a"], 0);
    let Next::Read(for_a) = window.next(stream, Waker::noop()) else { panic!("the window has forgotten it") };
    window.set_topics(stream, ["b".to_owned()]);
    let mut of_a = page(1, &["a", "b", "a", "b", "other"]);
    of_a.changes.retain(|change| &*change.topic == "a");
    window.deliver(stream, &for_a, of_a).unwrap();
    let Next::Read(for_b) = window.next(stream, Waker::noop()) else { panic!("nothing was read for it") };
    assert_eq!((for_b.after, &*for_b.topics), (0, &["b".into()][..]));
}

#[test]
fn window_keeps_within_its_bounds_and_forgets_topics_without_watchers() {
    let mut window = window(10 * 2048);
    let watched = subscribe(&mut window, &["watched"], 0);
    for round in 0..100 {
        let topics = ["watched", "other", &format!("passing {round}")].map(str::to_owned);
        window.route(page(3 * round + 1, &topics.each_ref().map(String::as_str)));
    }
    assert!(window.bytes <= window.capacity_bytes, "{} bytes", window.bytes);
    assert_eq!(window.bytes, window.recent.iter().map(|change| size(change)).sum::<usize>());
    let by_topic: usize = window.topics.values().map(|topic| topic.recent.len()).sum();
    assert_eq!(by_topic, window.recent.len());
    assert!(window.topics.len() <= window.recent.len(), "{} topics", window.topics.len());

    window.unsubscribe(watched);
    window.forget_through(300);
    assert!(window.topics.is_empty() && window.subscribers.is_empty());
}

#[test]
fn newest_change_stays_however_large_it_is() {
    let mut window = window(0);
    let stream = subscribe(&mut window, &["a"], 0);
    window.route(page(1, &["a"]));
    assert_eq!(told(&mut window, stream), [1]);
}

#[test]
fn topic_without_watchers_is_resumed_from_the_window() {
    let mut window = window(1 << 20);
    window.route(page(1, &["a", "b", "a"]));
    let stream = subscribe(&mut window, &["a"], 1);
    assert!(window.to_check(stream).is_none());
    assert_eq!(told(&mut window, stream), [3]);
}

#[test]
fn changes_compacted_before_they_were_read_send_every_stream_to_the_log() {
    let mut window = window(1 << 20);
    window.route(page(1, &["a"]));
    let stream = subscribe(&mut window, &["a"], 1);
    assert!(matches!(window.next(stream, Waker::noop()), Next::Tell(Ok(ChangeEvent::Position(_)))));
    assert!(matches!(window.next(stream, Waker::noop()), Next::Wait));
    let mut after_the_gap = page(5, &["b"]);
    after_the_gap.compacted_through = 4;
    assert_eq!(window.route(after_the_gap).len(), 1, "it is woken");
    let Next::Read(missing) = window.next(stream, Waker::noop()) else { panic!("it may have missed some") };
    let mut rest = page(5, &["b"]);
    rest.compacted_through = 4;
    rest.changes.clear();
    let oldest = window.token(4);
    assert_eq!(window.deliver(stream, &missing, rest), Err(SubscribeError::Compacted { oldest }));
}

#[test]
fn each_watcher_is_woken_once_for_a_page() {
    let mut window = window(1 << 20);
    for _ in 0..3 {
        let stream = subscribe(&mut window, &["a", "b"], 0);
        while !matches!(window.next(stream, Waker::noop()), Next::Wait) {}
    }
    assert_eq!(window.route(page(1, &["a", "a", "b", "a"])).len(), 3);
    assert_eq!(window.route(page(5, &["c"])).len(), 0);
}
