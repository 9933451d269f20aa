//! The pipeline as its users meet it: real Kafka, the real ClickHouse engine, the three services as
//! processes. One stack for the binary; each test has its own topic and database.

mod chaos;
mod demo;
mod erasure;
mod first_events;
mod following;
mod log_faults;
mod personal;
mod registries;
mod shards;
mod straight_to_kafka;
mod traces;
