//! `countersign whoami`: the caller's identity and roles at a running server.

use countersign_client::v1::{WhoAmIRequest, WhoAmIResponse};

use super::{
    RemoteArgs, RemoteError, block_on,
    output::{fact, facts, joined, json, or_dash, print, printable},
};

/// Asks the server, and prints its answer.
pub(crate) fn run(remote: &RemoteArgs) -> Result<(), RemoteError> {
    print(&block_on(async {
        let answer = remote.connect().await?.operators().who_am_i(WhoAmIRequest {}).await;
        let answer = answer.map_err(|status| remote.call_failed(&status))?.into_inner();
        if remote.json() { json("WhoAmIResponse", &answer) } else { Ok(words(&answer)) }
    })?)
}

fn words(answer: &WhoAmIResponse) -> String {
    if !answer.agent_instance_id.is_empty() {
        let run = printable(&answer.agent_instance_id);
        return facts(&[fact("run", run), fact("sponsor", or_dash(&answer.sponsor_id))]);
    }
    let person = match (answer.person_id.as_str(), answer.person_confirmed) {
        ("", _) => "not bound to a person".to_owned(),
        (person, true) => printable(person),
        (person, false) => format!("{}, not yet confirmed by a second person", printable(person)),
    };
    let mut known = vec![
        fact("operator", or_dash(&answer.operator_id)),
        fact("roles", joined(&answer.roles)),
        fact("person", person),
    ];
    for (name, only) in [("only on tools", &answer.tools), ("only of sponsors", &answer.sponsors)] {
        if !only.is_empty() {
            known.push(fact(name, joined(only)));
        }
    }
    if answer.anonymous {
        known.push(fact("note", "the call had no API key, which only a server with --dev accepts".to_owned()));
    }
    facts(&known)
}
