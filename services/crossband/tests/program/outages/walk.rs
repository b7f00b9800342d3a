//! Alice's way to the partner and home again, while entities are killed as she comes to need them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use crossband::dev::{PARTNER, SECTION_LEADER};
use crossband::terminal;
use mcx_proto::mcservice::v1::{CommunicationKind, DecisionRule};
use mcx_types::{Entity, McService};
use mcx_ue::servers::Called;
use mcx_ue::state::{Evidence, PartnerOrder, Step, UeState};
use mcx_ue::ue::{BootstrapSource, McServiceUe, MigrationError, StepEvent, StepFailed, StepOutcome};

use super::lost_answers::{Answer, answers};
use super::needs::{Away, Need, asked, needs};
use super::records::Records;
use crate::federated::{Federated, Fronts, Side};
use crate::processes::Processes;

/// One way of alice's UE.
pub(super) struct Walk<'a> {
    pub(super) world: &'a Federated,
    pub(super) ue: McServiceUe,
    script: Arc<Mutex<Script>>,
    /// What alice's UE is bootstrapped with, once it was issued.
    enrolment: Option<BootstrapSource>,
}

/// What happens when.
struct Script {
    alpha: Arc<Processes>,
    bravo: Arc<Processes>,
    fronts: Arc<Fronts>,
    plan: Plan,
    /// The step that was begun last.
    step: Option<Step>,
    /// The entities of that step that are still to be killed.
    pending: VecDeque<Need>,
    /// The one that was killed as the step began.
    killed: Option<Need>,
    /// The answers to that step's requests that are still to be lost.
    unlost: VecDeque<Answer>,
    /// The one that was to be lost.
    lost: Option<Answer>,
    /// All that the step does not need stands still.
    is_still: bool,
    /// Every step that was begun.
    begun: Vec<Step>,
    /// Every step that was done.
    done: Vec<Step>,
    /// Why steps that undo something were given up.
    given_up: Vec<(Step, String)>,
}

/// What is killed.
#[derive(Clone, Copy)]
enum Plan {
    /// Nothing.
    Nothing,
    /// Each entity that a step needs, one after the other.
    EachNeed,
    /// This one as this step begins, once.
    One(Step, Side, Entity),
    /// Nothing, but the answer to each request of a step is lost, one after the other.
    EachAnswer,
    /// This answer is lost as this step begins, once.
    Answer(Step, Answer),
}

impl<'a> Walk<'a> {
    /// A factory-new UE.
    pub(super) fn begin(world: &'a Federated, order: PartnerOrder) -> Self {
        let mut settings = terminal::settings(world.alice(), None);
        settings.order = order;
        Self::with(world, settings)
    }

    pub(super) fn with(world: &'a Federated, settings: mcx_ue::ue::UeSettings) -> Self {
        let mut ue = McServiceUe::switch_on(settings).unwrap();
        let script = Arc::new(Mutex::new(Script {
            alpha: Arc::clone(&world.alpha),
            bravo: Arc::clone(&world.bravo),
            fronts: Arc::clone(&world.fronts),
            plan: Plan::Nothing,
            step: None,
            pending: VecDeque::new(),
            killed: None,
            unlost: VecDeque::new(),
            lost: None,
            is_still: false,
            begun: Vec::new(),
            done: Vec::new(),
            given_up: Vec::new(),
        }));
        let heard = Arc::clone(&script);
        ue.observe(Arc::new(move |event| heard.lock().unwrap().hear(event)));
        Self { world, ue, script, enrolment: None }
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    fn plan(&self, plan: Plan) {
        let mut script = self.script();
        script.plan = plan;
        script.step = None;
        script.begun.clear();
        script.done.clear();
        script.given_up.clear();
    }

    /// Kills an entity as a step begins.
    pub(super) fn kill_at(&self, step: Step, side: Side, entity: Entity) {
        self.plan(Plan::One(step, side, entity));
    }

    /// Lets everything go well, and takes note of the steps.
    pub(super) fn watch_steps(&self) {
        self.plan(Plan::Nothing);
    }

    /// Loses an answer as a step begins.
    pub(super) fn lose_at(&self, step: Step, answer: Answer) {
        self.plan(Plan::Answer(step, answer));
    }

    /// Loses the answer to each request of each step, one after the other.
    pub(super) fn lose_each(&self) {
        self.plan(Plan::EachAnswer);
    }

    /// The answer that was lost; from now on none is.
    pub(super) fn lost(&self) -> Option<Answer> {
        let lost = self.script().lost.take();
        if let Some(answer) = &lost {
            answer.heal(&self.world.fronts);
        }
        lost
    }

    /// Every step that was begun since the plan was made.
    pub(super) fn begun(&self) -> Vec<Step> {
        self.script().begun.clone()
    }

    /// The steps that undo something and were given up since the plan was made, and why.
    pub(super) fn given_up(&self) -> Vec<(Step, String)> {
        self.script().given_up.clone()
    }

    /// Everything that is missing up to service at the partner, with a bootstrap and a log-in before it where they are missing.
    pub(super) async fn migrate(&mut self) -> Result<(), StepFailed> {
        if self.ue.state() == UeState::FactoryNew {
            if self.enrolment.is_none() {
                let primary = &self.world.scenario.primary;
                self.enrolment = Some(terminal::enrol(primary, &terminal::ue_id("alice")).await.unwrap());
            }
            of_step(self.ue.bootstrap(self.enrolment.clone().unwrap()).await)?;
        }
        if self.ue.state() == UeState::Bootstrapped {
            of_step(self.ue.authenticate(terminal::credentials("alice").unwrap()).await)?;
        }
        let partner = PARTNER.parse().unwrap();
        of_step(self.ue.migrate(&partner, None).await)
    }

    /// Goes to the partner; each entity that a step needs is killed as the step begins, one after the other. Returns the states in which
    /// steps failed.
    pub(super) async fn go_to_the_partner(&mut self) -> BTreeSet<UeState> {
        self.plan(Plan::EachNeed);
        let mut failed_in = BTreeSet::new();
        loop {
            let before = self.ue.evidence();
            let (begun, done) = {
                let script = self.script();
                (script.begun.len(), script.done.clone())
            };
            let Err(failed) = self.migrate().await else { break };
            let killed = self.script().killed.take();
            let killed = killed.unwrap_or_else(|| panic!("nothing was killed: {failed}"));
            killed.check(&failed.cause);
            self.check_failure(&failed, &before, begun, &done);
            failed_in.insert(failed.state);
            self.world.system(killed.side).start_and_wait(killed.entity).await;
            let migrated: Vec<McService> = self.ue.evidence().migrated.into_iter().collect();
            Records::until_served(self.world, &migrated).await;
        }
        self.check_way();
        self.plan(Plan::Nothing);
        failed_in
    }

    /// The UE is where it was before the step that failed, and did nothing twice.
    fn check_failure(&self, failed: &StepFailed, before: &Evidence, begun: usize, done: &[Step]) {
        let script = self.script();
        assert_eq!(script.begun.last(), Some(&failed.step), "{failed}");
        assert_eq!(failed.state, self.ue.state());
        if script.begun.len() == begun + 1 {
            // But for what it cannot know: whether she is authorized there.
            let after = Evidence { undecided: before.undecided.clone(), ..self.ue.evidence() };
            assert_eq!(after, *before, "{failed}: it was tried again, and changed nothing");
        }
        // However often the step has failed by now, none that was done before it was begun again.
        let again = script.begun[begun..].iter().find(|step| done.contains(step));
        assert_eq!(again, None, "{failed}: done before");
    }

    /// Every step was begun once for each entity that it needs, and once more to be done.
    fn check_way(&self) {
        let script = self.script();
        let steps: BTreeSet<String> = script.begun.iter().map(Step::to_string).collect();
        for step in script.begun.iter().copied() {
            let times = script.begun.iter().filter(|begun| **begun == step).count();
            let kills = needs(step).iter().filter(|need| need.away != Away::GoesOn).count();
            assert_eq!(times, kills + 1, "{step}, of {steps:?}");
        }
    }

    /// Activates a functional alias at the partner, with each entity away that it needs.
    pub(super) async fn activates_an_alias(&mut self) -> BTreeSet<UeState> {
        let alias = SECTION_LEADER.parse().unwrap();
        let by = Entity::McService;
        let reason = "FUNCTIONAL_ALIAS_MANAGEMENT_UNREACHABLE";
        let hop = "bravo.example/functional-alias-management";
        let away = [
            Need { side: Side::Bravo, entity: by, away: Away::Unreached },
            Need {
                side: Side::Bravo,
                entity: Entity::FunctionalAliasManagement,
                away: Away::Told { by, reason, hop },
            },
        ];
        for need in away {
            self.world.system(need.side).kill(need.entity);
            let before = self.ue.evidence();
            let failed = self.ue.activate_alias(McService::Ptt, &alias, false).await.unwrap_err();
            need.check(&failed);
            assert_eq!(self.ue.evidence(), before, "{failed}");
            self.world.system(need.side).start_and_wait(need.entity).await;
            Records::until_served(self.world, &[McService::Ptt, McService::Data]).await;
            assert_eq!(self.call_to_section_leader().await, DecisionRule::AliasNotActive);
        }
        let activated = self.ue.activate_alias(McService::Ptt, &alias, false).await.unwrap();
        assert_eq!(activated.rule(), DecisionRule::AliasActivated);
        assert_eq!(self.call_to_section_leader().await, DecisionRule::TargetIsCaller);
        BTreeSet::from([self.ue.state()])
    }

    /// Goes home; each entity of the primary that a step needs is killed as the step begins, and nothing of the partner. Returns the
    /// states in which steps failed.
    pub(super) async fn home(&mut self) -> BTreeSet<UeState> {
        let mut failed_in = BTreeSet::new();
        for step in [Step::RegisterAtPrimary, Step::AuthorizeService(McService::Data)] {
            for need in needs(step).into_iter().filter(|need| need.away != Away::GoesOn) {
                self.kill_at(step, need.side, need.entity);
                let failed = match of_step(self.ue.return_home().await) {
                    Err(failed) => failed,
                    Ok(()) => panic!("{step} goes on without {need:?}"),
                };
                need.check(&failed.cause);
                assert_eq!((failed.step, failed.state), (step, UeState::Returning), "{failed}");
                failed_in.insert(failed.state);
                self.world.system(need.side).start_and_wait(need.entity).await;
            }
        }
        self.plan(Plan::Nothing);
        self.ue.return_home().await.unwrap();
        failed_in
    }

    /// By which rule whoever serves her would let her call a group.
    pub(super) async fn call_to_group(&self, group: &str) -> DecisionRule {
        self.call(CommunicationKind::Group, Called::Group(group.parse().unwrap())).await
    }

    /// By which rule whoever serves her would let her call whoever is the section leader.
    pub(super) async fn call_to_section_leader(&self) -> DecisionRule {
        self.call(CommunicationKind::Private, Called::FunctionalAlias(SECTION_LEADER.parse().unwrap())).await
    }

    async fn call(&self, kind: CommunicationKind, called: Called) -> DecisionRule {
        self.ue.authorize_communication(McService::Ptt, kind, &called).await.unwrap().rule()
    }
}

impl Script {
    fn hear(&mut self, event: &StepEvent<'_>) {
        match event.outcome {
            StepOutcome::Started => self.begin(event.step),
            StepOutcome::GivenUp(error) => {
                self.given_up.push((event.step, error.to_string()));
                self.go_on();
            }
            StepOutcome::Done => {
                self.done.push(event.step);
                self.go_on();
            }
            StepOutcome::Failed(_) => self.go_on(),
        }
    }

    fn begin(&mut self, step: Step) {
        self.begun.push(step);
        let is_new = self.step.replace(step) != Some(step);
        match self.plan {
            Plan::Nothing => {}
            Plan::One(at, side, entity) if at == step => {
                self.system(side).kill(entity);
                self.plan = Plan::Nothing;
            }
            Plan::Answer(at, answer) if at == step => {
                answer.lose(&self.fronts);
                self.lost = Some(answer);
                self.plan = Plan::Nothing;
            }
            Plan::One(..) | Plan::Answer(..) => {}
            Plan::EachAnswer => {
                if is_new {
                    self.unlost = answers(step).into();
                }
                self.lost = self.unlost.pop_front();
                if let Some(answer) = &self.lost {
                    answer.lose(&self.fronts);
                }
            }
            Plan::EachNeed => {
                if is_new {
                    self.pending = needs(step).into_iter().filter(|need| need.away != Away::GoesOn).collect();
                }
                match self.pending.pop_front() {
                    Some(need) => {
                        self.system(need.side).kill(need.entity);
                        self.killed = Some(need);
                    }
                    None => self.stand_still(step),
                }
            }
        }
    }

    /// Whoever is no part of the step stands still, so that a step that asks more than its rows say gets no further.
    fn stand_still(&mut self, step: Step) {
        self.alpha.signal_all_but(&asked(step, Side::Alpha), "STOP");
        self.bravo.signal_all_but(&asked(step, Side::Bravo), "STOP");
        self.is_still = true;
    }

    fn go_on(&mut self) {
        if std::mem::take(&mut self.is_still) {
            self.alpha.signal_all_but(&BTreeSet::new(), "CONT");
            self.bravo.signal_all_but(&BTreeSet::new(), "CONT");
        }
    }

    fn system(&self, side: Side) -> &Processes {
        match side {
            Side::Alpha => &self.alpha,
            Side::Bravo => &self.bravo,
        }
    }
}

/// The failure of a step; anything else is none of these tests'.
pub(super) fn of_step<E: Into<MigrationError>>(outcome: Result<(), E>) -> Result<(), StepFailed> {
    outcome.map_err(|error| match error.into() {
        MigrationError::Step(failed) => failed,
        MigrationError::NotBegun(error) => panic!("no step failed: {error}"),
    })
}
