//! Tokens by which something goes on, such as a long stream: whoever goes on learns when his is revoked.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mcx_types::{Subject, Timestamp};
use tokio_util::sync::CancellationToken;

use super::{AuthenticatedUser, RevokedTokens};

/// The tokens that are watched, by what they can be revoked by: a revocation costs no more for all those that it is not about.
#[derive(Clone, Default)]
pub(super) struct WatchedTokens(Arc<Mutex<Watched>>);

#[derive(Default)]
struct Watched {
    by_token: HashMap<String, Vec<Arc<Entry>>>,
    by_subject: HashMap<Subject, Vec<Arc<Entry>>>,
}

struct Entry {
    token_id: String,
    subject: Subject,
    issued_at: Timestamp,
    revoked: CancellationToken,
}

/// Something that goes on by a token, until it is dropped.
pub struct TokenWatch {
    entry: Arc<Entry>,
    watched: WatchedTokens,
}

impl TokenWatch {
    /// Completes when the token is revoked, and at once where it was.
    pub async fn revoked(&self) {
        self.entry.revoked.cancelled().await;
    }

    pub(super) fn tell(&self, revoked: &RevokedTokens) {
        self.entry.tell(revoked);
    }
}

impl Drop for TokenWatch {
    fn drop(&mut self) {
        let mut watched = self.watched.lock();
        forget(&mut watched.by_token, &self.entry.token_id, &self.entry);
        forget(&mut watched.by_subject, &self.entry.subject, &self.entry);
    }
}

impl WatchedTokens {
    pub(super) fn watch(&self, user: &AuthenticatedUser) -> TokenWatch {
        let entry = Arc::new(Entry {
            token_id: user.token_id.clone(),
            subject: user.subject.clone(),
            issued_at: user.issued_at,
            revoked: CancellationToken::new(),
        });
        let mut watched = self.lock();
        watched.by_token.entry(entry.token_id.clone()).or_default().push(Arc::clone(&entry));
        watched.by_subject.entry(entry.subject.clone()).or_default().push(Arc::clone(&entry));
        drop(watched);
        TokenWatch { entry, watched: self.clone() }
    }

    /// Tells those whose tokens are among `revoked`.
    pub(super) fn tell(&self, revoked: &RevokedTokens) {
        let watched = self.lock();
        let by_token = revoked.token_ids.iter().filter_map(|id| watched.by_token.get(id));
        let by_subject = revoked.subjects.keys().filter_map(|subject| watched.by_subject.get(subject));
        by_token.chain(by_subject).flatten().for_each(|entry| entry.tell(revoked));
    }

    /// Tells everybody whose token is among `revoked`.
    pub(super) fn tell_all(&self, revoked: &RevokedTokens) {
        self.lock().by_token.values().flatten().for_each(|entry| entry.tell(revoked));
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        // Nothing in here panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn tell(&self, revoked: &RevokedTokens) {
        if revoked.covers(&self.token_id, &self.subject, self.issued_at) {
            self.revoked.cancel();
        }
    }
}

fn forget<K: Hash + Eq>(entries: &mut HashMap<K, Vec<Arc<Entry>>>, key: &K, entry: &Arc<Entry>) {
    if let Some(of_key) = entries.get_mut(key) {
        of_key.retain(|other| !Arc::ptr_eq(other, entry));
        if of_key.is_empty() {
            entries.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use futures::FutureExt;

    use super::*;

    fn user(subject: &str, token_id: &str) -> AuthenticatedUser {
        AuthenticatedUser {
            subject: subject.parse().unwrap(),
            mc_id: None,
            client_id: "ue".to_owned(),
            token_id: token_id.to_owned(),
            scopes: BTreeSet::new(),
            service_ids: BTreeMap::new(),
            visitor_of: None,
            issued_at: Timestamp::from_micros(5_000_000),
            expires_at: Timestamp::from_micros(600_000_000),
        }
    }

    fn of_subject(subject: &str, seconds: i64) -> RevokedTokens {
        let at = Timestamp::from_micros(seconds * 1_000_000);
        RevokedTokens { subjects: [(subject.parse().unwrap(), at)].into(), ..RevokedTokens::default() }
    }

    fn of_token(token_id: &str) -> RevokedTokens {
        RevokedTokens { token_ids: [token_id.to_owned()].into(), ..RevokedTokens::default() }
    }

    #[test]
    fn those_learn_of_a_revocation_whose_tokens_it_is_about() {
        let tokens = WatchedTokens::default();
        let watches = [user("alice", "a-1"), user("alice", "a-2"), user("bob", "b-1")];
        let watches = watches.map(|user| tokens.watch(&user));
        let told = || watches.each_ref().map(|watch| watch.revoked().now_or_never().is_some());
        tokens.tell(&of_subject("alice", 4));
        tokens.tell(&of_token("c-1"));
        assert_eq!(told(), [false, false, false], "hers were issued later");
        tokens.tell(&of_token("a-2"));
        assert_eq!(told(), [false, true, false]);
        tokens.tell(&of_subject("alice", 5));
        assert_eq!(told(), [true, true, false]);
        tokens.tell_all(&of_token("b-1"));
        assert_eq!(told(), [true, true, true]);
    }

    #[test]
    fn nothing_is_kept_of_what_has_ended() {
        let tokens = WatchedTokens::default();
        let (one, other) = (tokens.watch(&user("alice", "a-1")), tokens.watch(&user("alice", "a-1")));
        drop(one);
        tokens.tell(&of_token("a-1"));
        assert!(other.revoked().now_or_never().is_some(), "it goes on by the same token");
        drop(other);
        let watched = tokens.lock();
        assert!(watched.by_token.is_empty() && watched.by_subject.is_empty());
    }
}
