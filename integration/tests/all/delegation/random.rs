//! Random policies and chains, the same in every run of the tests.

use std::fmt::Write as _;

use countersign_client::v1;
use v1::Effect;

use super::{Asked, DOORS, delegate, introspected, run_as, sponsor_with};
use crate::{
    approvals::activate,
    support::{Run, World, decide},
};

/// Numbers that are the same in every run of the tests.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(n).unwrap()).unwrap()
    }

    fn one_of<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.below(of.len())]
    }

    /// Each with even chances.
    fn some_of<'t>(&mut self, of: &[&'t str]) -> Vec<&'t str> {
        of.iter().copied().filter(|_| self.below(2) == 0).collect()
    }

    /// At least one.
    fn any_of<'t>(&mut self, of: &[&'t str]) -> Vec<&'t str> {
        let some = self.some_of(of);
        if some.is_empty() { vec![self.one_of(of)] } else { some }
    }
}

const ROLES: [&str; 3] = ["support", "finance", "audit"];
const TOOLS: [&str; 3] = ["billing", "search", "file-store"];
const ACTIONS: [&str; 3] = ["read", "write", "erase"];

/// A role of a random policy.
struct Role {
    tools: Vec<&'static str>,
    ttl: i64,
    delegates: Vec<&'static str>,
}

fn random_policy(dice: &mut Dice) -> (String, Vec<Role>) {
    let mut document = "roles:\n".to_owned();
    let mut roles = Vec::new();
    for role in ROLES {
        let tools = if dice.below(3) == 0 { Vec::new() } else { dice.any_of(&TOOLS) };
        let (ttl, delegates) = ([60, 120, 300][dice.below(3)], dice.some_of(&ROLES));
        write!(document, "  - {{id: {role}, max_ttl_seconds: {ttl}").unwrap();
        if !tools.is_empty() {
            write!(document, ", tools: [{}]", tools.join(", ")).unwrap();
        }
        if !delegates.is_empty() {
            write!(document, ", may_delegate_to: [{}]", delegates.join(", ")).unwrap();
        }
        document += "}\n";
        roles.push(Role { tools, ttl, delegates });
    }
    document += "rules:\n";
    for nth in 0..10 {
        let effect = ["", "", "", ", require_approval: true", ", effect: deny"][dice.below(5)];
        // Only a rule that denies may be for every role.
        let every = effect.ends_with("deny") && dice.below(2) == 0;
        let role = if every { String::new() } else { format!("role: {}, ", dice.one_of(&ROLES)) };
        let (tool, actions) = (dice.one_of(&TOOLS), dice.any_of(&ACTIONS).join(", "));
        writeln!(document, "  - {{id: r{nth}, {role}tool: {tool}, allowed_actions: [{actions}]{effect}}}").unwrap();
    }
    (document, roles)
}

/// A run of a chain, and what is known of it.
struct Link {
    run: Run,
    roles: Vec<&'static str>,
    tools: Vec<&'static str>,
    purpose: String,
}

/// How restrictive the answer to each call is.
async fn answers(run: &Run) -> Vec<(String, i32)> {
    let calls: Vec<_> = TOOLS.iter().flat_map(|tool| ACTIONS.map(|action| (*tool, action))).collect();
    let requests = calls.iter().map(|(tool, action)| decide(tool, action)).collect();
    let request = v1::BatchDecideRequest { requests, ..Default::default() };
    let answers = run.connection.decisions().batch_decide(request).await.unwrap().into_inner().responses;
    let restricts = |effect| match effect {
        Effect::Allow => 0,
        Effect::RequireApproval => 1,
        _ => 2,
    };
    calls
        .iter()
        .zip(&answers)
        .map(|((tool, action), answer)| (format!("{tool}.{action}"), restricts(answer.effect())))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_chain_under_any_policy_at_any_door_is_allowed_more_below_than_above() {
    let world = World::start().await;
    sponsor_with(&world, "carla", &ROLES).await;
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let (mut granted, mut refused, mut turned) = (0, 0, 0);
    for round in 0..16 {
        let (document, roles) = random_policy(&mut dice);
        activate(&world, &document).await;
        let spec = |role: &str| &roles[ROLES.iter().position(|known| *known == role).unwrap()];
        let role = dice.one_of(&ROLES);
        let of_role = if spec(role).tools.is_empty() { TOOLS.to_vec() } else { spec(role).tools.clone() };
        let run = run_as(&world, role, &of_role).await;
        let mut above = answers(&run).await;
        let mut parent = Link { run, roles: vec![role], tools: of_role, purpose: "triage ticket 4711".to_owned() };
        for _ in 0..6 {
            let door = DOORS[dice.below(3)];
            let delegates = &spec(parent.roles[0]).delegates;
            let role = match dice.below(5) {
                0 => dice.one_of(&ROLES),
                1 => parent.roles[0],
                _ if delegates.is_empty() => parent.roles[0],
                _ => dice.one_of(delegates),
            };
            let tools = if dice.below(5) == 0 { dice.any_of(&TOOLS) } else { vec![dice.one_of(&parent.tools)] };
            let purpose = ["", "", "", "", " of today", " of today", "0", "holiday"][dice.below(8)];
            let purpose = match purpose {
                "" => String::new(),
                "holiday" => purpose.to_owned(),
                more => format!("{}{more}", parent.purpose),
            };
            let ttl = [None, None, None, Some(30), Some(100), Some(200)][dice.below(6)];
            let mut binding = vec![role];
            binding.extend(parent.roles.iter().filter(|above| **above != role));
            let fits = (role == parent.roles[0] || spec(parent.roles[0]).delegates.contains(&role))
                && tools.iter().all(|tool| parent.tools.contains(tool))
                && binding.iter().all(|role| {
                    spec(role).tools.is_empty() || tools.iter().all(|tool| spec(role).tools.contains(tool))
                })
                && !purpose.ends_with('0')
                && purpose != "holiday";
            let lasts = ttl.is_none_or(|ttl| binding.iter().all(|role| ttl <= spec(role).ttl));
            let asked = Asked {
                role: role.to_owned(),
                tools: tools.iter().map(ToString::to_string).collect(),
                purpose: purpose.clone(),
                ttl,
            };
            let child = delegate(&world, door, &parent.run.token, &asked).await;
            let Ok(run) = child else {
                // A lifetime may also be longer than what is left of the parent's.
                assert!(
                    !fits || !lasts || ttl.is_some(),
                    "{round} {door:?} {asked:?} below {:?}\n{document}",
                    parent.roles
                );
                refused += 1;
                continue;
            };
            assert!(fits && lasts, "{round} {door:?} {asked:?} below {:?}\n{document}", parent.roles);
            granted += 1;
            turned += i32::from(role != parent.roles[0]);
            let below = answers(&run).await;
            for ((call, above), (_, below)) in above.iter().zip(&below) {
                assert!(
                    below >= above,
                    "{round}: {call} is {above} above and {below} below, as {binding:?}\n{document}"
                );
            }
            let said = introspected(&world, &run.token).await;
            assert!(binding.iter().all(|role| i64::from(said.ttl_seconds) <= spec(role).ttl));
            assert_eq!((said.role.as_str(), said.inherited_roles.len()), (role, binding.len() - 1));
            above = below;
            let purpose = if purpose.is_empty() { parent.purpose } else { purpose };
            parent = Link { run, roles: binding, tools, purpose };
            if said.depth >= 3 {
                break;
            }
        }
    }
    assert!(granted >= 12 && refused >= 12 && turned >= 4, "{granted} granted, {refused} refused, {turned} turned");
}
