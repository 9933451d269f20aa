//! Where sessions begin and end, what comes back, what follows step by step.

use query_api::values::Time;
use serde_json::json;
use uuid::Uuid;

use crate::world::{Sent, World};

/// An event of a session, by the letter of its feature.
fn event(session: u128, time: &str, letter: char) -> Sent {
    Sent {
        event_id: Uuid::new_v4(),
        session_id: Uuid::from_u128(session),
        app: if letter.is_uppercase() { "app" } else { "web" }.into(),
        category: "c".into(),
        name: letter.to_string(),
        data: "{}".into(),
        time: Time::parse(time).unwrap().micros(),
    }
}

async fn world(events: &[Sent]) -> World {
    let mut world = World::new().await;
    world.append(events, events.len()).await;
    world.refresh().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_session_says_how_long_the_whole_is() {
    let world =
        world(&(1..=9).map(|day| event(1, &format!("2025-01-{day:02}"), 'a')).collect::<Vec<_>>()).await;
    let path = format!("/v1/sessions/{}?limit=4", Uuid::from_u128(1));
    let first = world.get(&path).await;
    let next = world.get(&format!("{path}&cursor={}", first["next_cursor"].as_str().unwrap())).await;
    let whole = json!({"events": 9, "first_seen": "2025-01-01T00:00:00.000000Z",
        "last_seen": "2025-01-09T00:00:00.000000Z"});
    for page in [first, next] {
        assert_eq!((page["events"].as_array().unwrap().len(), &page["session"]), (4, &whole));
    }
}
