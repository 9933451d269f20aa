//! The state that all requests share.

use std::sync::Arc;

use crate::admit::Admission;
use crate::append::Log;
use crate::body::Bodies;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::personal::Personal;

pub(crate) struct Gateway {
    pub config: Config,
    pub admission: Admission,
    pub bodies: Bodies,
    pub personal: Personal,
    pub log: Log,
    pub metrics: Arc<Metrics>,
}

impl Gateway {
    /// # Errors
    /// A registry, event type, key or Kafka option that can't be used.
    pub(crate) fn new(config: Config) -> anyhow::Result<Self> {
        let metrics = Arc::new(Metrics::new()?);
        Ok(Self {
            admission: Admission::load(config.apps.clone(), Arc::clone(&metrics))?,
            bodies: Bodies::new(config.limits.clone()),
            personal: Personal::load(config.personal.clone(), Arc::clone(&metrics))?,
            log: Log::connect(&config.log, Arc::clone(&metrics))?,
            metrics,
            config,
        })
    }
}
