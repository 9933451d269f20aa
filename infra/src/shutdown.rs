//! When to stop.

use tokio::signal::unix::{SignalKind, signal as unix_signal};

/// Resolves on the first SIGTERM or SIGINT. A second one ends the process at once, for an operator who can't wait for
/// the drain.
pub async fn signal() {
    let (Ok(mut term), Ok(mut int)) =
        (unix_signal(SignalKind::terminate()), unix_signal(SignalKind::interrupt()))
    else {
        tracing::error!("cannot listen for signals; stop this process with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => tracing::info!("SIGTERM: draining"),
        _ = int.recv() => tracing::info!("SIGINT: draining"),
    }
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        tracing::warn!("second signal: stopping at once");
        std::process::exit(130);
    });
}
