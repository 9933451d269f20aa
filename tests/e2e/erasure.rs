//! An erased session is nowhere in ClickHouse, and stays nowhere: after a re-projection, and after an old
//! backup is restored, which the log heals.

use std::sync::Arc;
use std::time::Duration;

use harness::{Pipeline, eventually};
use local_stack::harm::copy;
use local_stack::{Stack, StackOptions};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(120);

fn event(session: Uuid, event_id: Uuid) -> String {
    format!(
        r#"{{"event_id":"{event_id}","session_id":"{session}","category":"page interaction","name":"pageview","data":{{"host":"h","path":"/"}},"timestamp":"2024-05-01T10:00:00Z"}}"#
    )
}

/// Through the gateway: `count` valid events of a session. Returns their ids.
async fn visit(pipeline: &Pipeline, session: Uuid, count: usize) -> Vec<Uuid> {
    let ids: Vec<Uuid> = (0..count).map(|_| Uuid::new_v4()).collect();
    let events: Vec<String> = ids.iter().map(|id| event(session, *id)).collect();
    pipeline.send(&events).await;
    ids
}

async fn erase(pipeline: &Pipeline, session: Uuid) {
    let said =
        pipeline.settings.projector_verb(&["erase", &session.to_string(), "--wait"]).await.expect("erase");
    assert!(said.contains("erased from ClickHouse: 1"), "{said}");
}

/// All rows of all tables of all generations, as text.
async fn everything(pipeline: &Pipeline) -> String {
    let client = pipeline.clickhouse();
    let tables: Vec<String> = client
        .query(
            "SELECT concat(database, '.', name) FROM system.tables \
             WHERE startsWith(database, {generations:String}) AND engine LIKE '%MergeTree'",
        )
        .param("generations", format!("{}_g", pipeline.settings.database))
        .fetch_all()
        .await
        .expect("the tables");
    let mut all = String::new();
    for table in tables {
        let mut rows = client.query(&format!("SELECT * FROM {table}")).fetch_bytes("JSONEachRow").unwrap();
        all += &String::from_utf8_lossy(&rows.collect().await.expect("the rows"));
    }
    all
}

/// The tables equal the log: the audits say so, and a projection of the whole log has the same rows.
async fn equals_the_log(pipeline: &Pipeline, generation: u32) {
    pipeline.settled().await;
    eventually(PATIENCE, async || (pipeline.get("/v1/audit").await["adds_up"] == true).then_some(())).await;
    let verb = async |arguments: &[&str]| pipeline.settings.projector_verb(arguments).await.expect("a verb");
    // An erasure that was read again takes a moment to reach what was there before it.
    eventually(PATIENCE, async || pipeline.settings.projector_verb(&["audit"]).await.ok()).await;
    verb(&["reproject"]).await;
    let said = verb(&["compare", &generation.to_string(), &(generation + 1).to_string()]).await;
    assert!(said.contains("are equal"), "{said}");
    verb(&["audit"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_session_is_nowhere_in_whatever_partition_and_order() {
    let pipeline = Pipeline::start().await;
    let (gone, kept, later) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let ids = visit(&pipeline, gone, 5).await;
    visit(&pipeline, kept, 5).await;
    // Under the wrong keys a session is spread over partitions.
    for _ in 0..20 {
        let key = Uuid::new_v4().to_string();
        pipeline.produce(&key, Some(event(gone, Uuid::new_v4()).as_bytes()), "demo").await;
        pipeline.produce(&key, Some(event(gone, ids[0]).as_bytes()), "stranger").await;
    }
    // One that begins only after it was erased.
    erase(&pipeline, later).await;
    visit(&pipeline, later, 3).await;
    pipeline.settled().await;
    let (status, timeline) = pipeline.ask(&format!("/v1/sessions/{gone}")).await;
    assert_eq!(status, 200, "{timeline}");
    assert_eq!(timeline["events"].as_array().unwrap().len(), 25);

    erase(&pipeline, gone).await;
    let (status, timeline) = pipeline.ask(&format!("/v1/sessions/{gone}")).await;
    assert_eq!(status, 404, "{timeline}");
    assert_eq!(pipeline.get(&format!("/v1/events/{}", ids[1])).await["verdict"], "erased");
    equals_the_log(&pipeline, 1).await;
    let all = everything(&pipeline).await;
    for (session, there) in [(gone, false), (later, false), (kept, true)] {
        assert_eq!(all.contains(&session.to_string()), there);
    }
    let verdicts = &pipeline.get("/v1/audit").await["verdicts"];
    assert_eq!((&verdicts["erased"], &verdicts["erasure"]), (&48.into(), &2.into()), "{verdicts}");
    assert_eq!(verdicts["accepted"], 5, "{verdicts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_backup_is_healed_at_start_without_a_manual_step() {
    let stack = Arc::new(Stack::start(StackOptions::default()).await.expect("the stack starts"));
    let pipeline = Pipeline::start_on(Arc::clone(&stack), 1, None).await;
    let clickhouse = &stack.clickhouse.process;
    let (data, backup) = (stack.data().join("clickhouse"), stack.data().join("backup"));
    let projector = &pipeline.projectors[0].process;
    let back = async || {
        clickhouse.start();
        clickhouse.ready(PATIENCE).await.expect("ClickHouse is back");
        projector.start();
        projector.ready(PATIENCE).await.expect("the projector is back");
    };

    let [gone_before, gone_after, stays, new] = [(); 4].map(|()| Uuid::new_v4());
    for session in [gone_before, gone_after, stays] {
        visit(&pipeline, session, 10).await;
    }
    pipeline.produce(&stays.to_string(), Some(b"no json"), "demo").await;
    erase(&pipeline, gone_before).await;
    pipeline.settled().await;
    projector.stop().await;
    clickhouse.stop().await;
    copy(&data, &backup).unwrap();
    back().await;

    // The backup does not have these: new sessions, more of an old one, rejections, an erasure.
    for session in [stays, new, gone_after, gone_before] {
        visit(&pipeline, session, 10).await;
    }
    pipeline.produce(&gone_after.to_string(), Some(b"no json either"), "demo").await;
    erase(&pipeline, gone_after).await;
    pipeline.settled().await;
    let before = pipeline.verdicts().await;

    projector.stop().await;
    clickhouse.stop().await;
    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data).unwrap();
    back().await;
    equals_the_log(&pipeline, 1).await;
    assert_eq!(pipeline.verdicts().await, before);
    let all = everything(&pipeline).await;
    for (session, there) in [(gone_before, false), (gone_after, false), (stays, true), (new, true)] {
        assert_eq!(all.contains(&session.to_string()), there);
    }
}
