//! The answer to a request id is kept for a day.

use time::Duration;

use super::world::{TICK, World, register, request};
use crate::Error;

#[tokio::test]
async fn an_answer_is_given_again_for_a_day() {
    let world = World::start().await;
    let ask =
        async |content| world.app.register_sponsor(&world.rita, register("bob"), Some(request("r-1", content))).await;
    let first = ask(1).await.unwrap();
    world.passes_and_workers_look(Duration::DAY - TICK).await;
    assert_eq!(ask(1).await.unwrap(), first);
    assert!(matches!(ask(2).await, Err(Error::RequestIdReused)));
    world.passes_and_workers_look(TICK + TICK).await;
    assert!(matches!(ask(1).await, Err(Error::AlreadyExists { .. })), "asked anew, and bob is there");
    assert!(matches!(ask(2).await, Err(Error::AlreadyExists { .. })));
}
