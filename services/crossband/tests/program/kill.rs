//! `kill -9` of a SIP database under load: whatever dies when, no sequence number is issued twice.

use std::time::Duration;

use mcx_aka::AuthenticationVector;
use mcx_testkit::{PostgresServer, RedisServer};
use sip_database::client::{ClientError, SipAuthenticationClient};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::program::Daemon;
use crate::service::SipDatabase;
use crate::vectors::{Account, User};

const USERS: u8 = 3;
const TASKS: usize = 8;

/// Answers of one round before the kill, at most.
const ANSWERS_OF_A_ROUND: usize = 120;

/// After this without an answer the test fails instead of hanging. Nothing is measured with it.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often the program is killed: 8 times, or as often as `CROSSBAND_TEST_KILL_ROUNDS` says.
fn rounds() -> usize {
    #[expect(
        clippy::disallowed_methods,
        reason = "how thorough a test is, is no configuration of the program"
    )]
    let wanted = std::env::var("CROSSBAND_TEST_KILL_ROUNDS").ok();
    wanted.map_or(8, |rounds| rounds.parse().expect("CROSSBAND_TEST_KILL_ROUNDS is a number"))
}

type Answer = (User, Vec<AuthenticationVector>);

/// UEs' worth of requests, sent without a pause to one replica.
struct Load {
    asking: JoinSet<()>,
    answered: UnboundedReceiver<Answer>,
    account: Account,
}

impl Load {
    fn on(clients: &[SipAuthenticationClient]) -> Self {
        let (answer, answered) = unbounded_channel();
        let mut asking = JoinSet::new();
        for task in 0..TASKS {
            let client = clients[task % clients.len()].clone();
            asking.spawn(ask_for_ever(client, task, answer.clone()));
        }
        Self { asking, answered, account: Account::default() }
    }

    /// Takes so many answers.
    async fn answers(&mut self, count: usize) {
        for _ in 0..count {
            let heard = tokio::time::timeout(PATIENCE, self.answered.recv()).await;
            let (user, vectors) = match heard.expect("the SIP database answers again") {
                Some(answer) => answer,
                None => panic!("every task has failed: {:?}", self.asking.join_next().await),
            };
            self.account.record(&user, vectors);
        }
    }

    /// Stops asking, and checks all that was answered.
    async fn settle(mut self) -> usize {
        self.asking.abort_all();
        while let Some(ended) = self.asking.join_next().await {
            if let Err(failed) = ended {
                assert!(failed.is_cancelled(), "{failed}");
            }
        }
        while let Ok((user, vectors)) = self.answered.try_recv() {
            self.account.record(&user, vectors);
        }
        self.account.settle()
    }
}

async fn ask_for_ever(client: SipAuthenticationClient, task: usize, answer: UnboundedSender<Answer>) {
    for round in 0_usize.. {
        let user = User::numbered(u8::try_from((task + round) % usize::from(USERS)).unwrap());
        let count = u32::try_from(round % 3).unwrap() + 1;
        match user.ask(&client, count).await {
            Ok(vectors) => answer.send((user, vectors)).unwrap(),
            // The replica is dead or not back yet; without a pause this would take the time that its start needs.
            Err(ClientError::Unavailable { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(wrong) => panic!("{wrong}"),
        }
    }
}

#[expect(clippy::print_stdout, reason = "how much was tried is worth to be seen with the result")]
fn say(rounds: usize, vectors: usize) {
    println!("{rounds} times killed, {vectors} vectors, none twice");
}

async fn provision(database: &SipDatabase, replica: u16) {
    let users = (0..USERS).map(|number| User::numbered(number).new_subscriber());
    let imported = database.operator(replica).import(users.collect::<Vec<_>>()).await.unwrap();
    assert_eq!(imported.created_count, u64::from(USERS));
}

/// Kills the only replica over and over, each time after another number of answers.
async fn kill_over_and_over(database: SipDatabase) {
    database.migrate();
    let mut running = database.start_and_wait(0);
    provision(&database, 0).await;
    let mut load = Load::on(&[database.sip_core(0)]);
    let rounds = rounds();
    for _ in 0..rounds {
        load.answers(rand::random_range(1..=ANSWERS_OF_A_ROUND)).await;
        running.kill();
        running = database.start(0);
    }
    database.wait_until_serving(&mut running, 0);
    load.answers(ANSWERS_OF_A_ROUND).await;
    let vectors = load.settle().await;
    say(rounds, vectors);
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_sequence_number_is_issued_twice_when_a_replica_on_postgres_is_killed() {
    let url = PostgresServer::shared().create_database();
    kill_over_and_over(SipDatabase::set_up(Some(&url), "memory:")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_sequence_number_is_issued_twice_when_a_replica_on_sqlite_is_killed() {
    kill_over_and_over(SipDatabase::set_up(None, "memory:")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_sequence_number_is_issued_twice_when_one_of_two_replicas_is_killed() {
    let url = PostgresServer::shared().create_database();
    let database = SipDatabase::set_up(Some(&url), RedisServer::shared().url());
    database.migrate();
    let mut replicas: Vec<Daemon> = (0..2).map(|replica| database.start_and_wait(replica)).collect();
    provision(&database, 0).await;
    let mut load = Load::on(&[database.sip_core(0), database.sip_core(1)]);
    let rounds = rounds();
    for round in 0..rounds {
        load.answers(rand::random_range(1..=ANSWERS_OF_A_ROUND)).await;
        let victim = round % 2;
        replicas.remove(victim).kill();
        replicas.insert(victim, database.start(u16::try_from(victim).unwrap()));
    }
    for (replica, number) in replicas.iter_mut().zip(0..) {
        database.wait_until_serving(replica, number);
    }
    load.answers(ANSWERS_OF_A_ROUND).await;
    let vectors = load.settle().await;
    say(rounds, vectors);
    for replica in replicas {
        replica.stop();
    }
}
