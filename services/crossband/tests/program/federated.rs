//! Two federated MC systems, every entity of both a process of its own, with the demo users provisioned.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crossband::admin::Catalogue;
use crossband::dev::{DemoSubscriber, Reach, Scenario};
use mcx_testkit::FaultProxy;
use mcx_types::Entity;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::answer_proxy::AnswerProxy;
use crate::ports::PortBlock;
use crate::processes::{Issuer, PATIENCE, Processes};
use crate::systems::{ALPHA, BRAVO};

/// How far the ports of bravo are from those of alpha.
const STRIDE: u16 = 100;

/// Which of the two systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Alpha,
    Bravo,
}

impl Side {
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Alpha => ALPHA,
            Self::Bravo => BRAVO,
        }
    }
}

/// Both systems, everything serving.
pub(crate) struct Federated {
    pub(crate) alpha: Arc<Processes>,
    pub(crate) bravo: Arc<Processes>,
    pub(crate) scenario: Scenario,
    pub(crate) fronts: Arc<Fronts>,
    _ports: PortBlock,
    _folder: TempDir,
}

/// What stands in front of entities, where a test wants answers to be lost.
#[derive(Default)]
pub(crate) struct Fronts {
    /// Between UEs and entities.
    pub(crate) entities: BTreeMap<(Side, Entity), AnswerProxy>,
    /// Between UEs and bravo's SIP core.
    pub(crate) sip: Option<FaultProxy>,
    /// The next REGISTER with a response to a challenge is not answered.
    pub(crate) is_register_answer_lost: AtomicBool,
    /// Between bravo's MC service server and alpha's.
    pub(crate) primary_mc_service: Option<FaultProxy>,
}

/// Whether something stands in front of the entities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Direct,
    WithFronts,
}

impl Federated {
    /// Both systems; alice may migrate unless she is among those for whom `provisioned_by_hand` says otherwise.
    pub(crate) async fn start(access: Access) -> Self {
        let mut started = Self::start_without_migrations(access).await;
        started.scenario.let_all_migrate().await.unwrap();
        started
    }

    /// Both systems; nobody has been requested to migrate yet.
    pub(crate) async fn start_without_migrations(access: Access) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = PortBlock::reserve();
        let in_front = |base: u16| match access {
            Access::Direct => Issuer(None),
            Access::WithFronts => Issuer(Some(front_of_identity_management(base))),
        };
        let issuers = [in_front(ports.base), in_front(ports.base + STRIDE)];
        let alpha = Arc::new(Processes::set_up(ALPHA, folder.path(), ports.base, &issuers[0]));
        let bravo = Arc::new(Processes::set_up(BRAVO, folder.path(), ports.base + STRIDE, &issuers[1]));
        tokio::join!(alpha.start_all(), bravo.start_all());
        let (mut primary, mut partner) = (alpha.reach(&issuers[0]), bravo.reach(&issuers[1]));
        let fronts = match access {
            Access::Direct => Fronts::default(),
            Access::WithFronts => Fronts::in_front_of(&alpha, &mut primary, &bravo, &mut partner).await,
        };
        let mut scenario = Scenario::new(primary, partner, &["bob", "chloe"]).unwrap();
        scenario.provision().await.unwrap();
        Self { alpha, bravo, scenario, fronts: Arc::new(fronts), _ports: ports, _folder: folder }
    }

    pub(crate) fn system(&self, side: Side) -> &Arc<Processes> {
        match side {
            Side::Alpha => &self.alpha,
            Side::Bravo => &self.bravo,
        }
    }

    pub(crate) fn reach(&self, side: Side) -> &Reach {
        match side {
            Side::Alpha => &self.scenario.primary,
            Side::Bravo => &self.scenario.partner,
        }
    }

    pub(crate) fn alice(&self) -> &DemoSubscriber {
        self.scenario.subscriber("alice").unwrap()
    }

    /// What an operator gets from an rpc, on connections of its own.
    pub(crate) async fn operator(&self, side: Side, method: &str, request: Value) -> Value {
        let catalogue = Catalogue::load().unwrap();
        let (entity, method) = catalogue.method(method).unwrap();
        let client = self.reach(side).operator_client().unwrap();
        client.unary(entity, method, &request).await.unwrap()
    }

    /// Everything of a listing.
    pub(crate) async fn listed(&self, side: Side, method: &str, key: &str) -> Vec<Value> {
        let page_size = json!({ "page_size": 1_000 });
        let mut page = self.operator(side, method, page_size).await;
        assert_eq!(page["next_page_token"].as_str().unwrap_or_default(), "", "one page holds everything");
        match page[key].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        }
    }
}

impl Fronts {
    async fn in_front_of(
        alpha: &Processes,
        primary: &mut Reach,
        bravo: &Processes,
        partner: &mut Reach,
    ) -> Self {
        let mut fronts = Self::default();
        for (side, system, reach) in
            [(Side::Alpha, alpha, &mut *primary), (Side::Bravo, bravo, &mut *partner)]
        {
            let mut targets: Vec<(Entity, SocketAddr)> =
                reach.clients.iter().map(|(entity, at)| (*entity, at.to_string().parse().unwrap())).collect();
            targets.push((Entity::IdentityManagement, system.https()));
            for (entity, target) in targets {
                let address = system.in_front_of(entity);
                let proxy =
                    AnswerProxy::start(address, target, &system.id, &system.certificates, entity).await;
                fronts.entities.insert((side, entity), proxy);
                if let Some(client) = reach.clients.get_mut(&entity) {
                    *client = address.into();
                }
            }
        }
        let sip = FaultProxy::start(partner.sip.address).await;
        partner.sip.address = sip.address();
        fronts.sip = Some(sip);
        let mc_service = primary.peers.get_mut(&Entity::McService).unwrap();
        let proxy = FaultProxy::start(mc_service.address).await;
        mc_service.address = proxy.address();
        fronts.primary_mc_service = Some(proxy);
        fronts
    }
}

fn front_of_identity_management(base: u16) -> SocketAddr {
    let index = Entity::ALL.iter().position(|entity| *entity == Entity::IdentityManagement).unwrap();
    SocketAddr::from(([127, 0, 0, 1], base + crate::processes::IN_FRONT + u16::try_from(index).unwrap()))
}

/// Looks until something is so, which comes of what processes do.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> Result<(), String>) {
    let mut last = String::new();
    let looking = async {
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(50));
        loop {
            ticks.tick().await;
            match is_so().await {
                Ok(()) => return,
                Err(seen) => last = seen,
            }
        }
    };
    let seen = tokio::time::timeout(PATIENCE, looking).await;
    seen.unwrap_or_else(|_| panic!("not {what}: {last}"));
}
