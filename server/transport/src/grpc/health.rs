//! `grpc.health.v1`: every service reports SERVING while the server is ready, and NOT_SERVING while it is not, or once
//! it stops.

use std::future::Future;

use countersign_proto::{FILE_DESCRIPTOR_SET, third_party};
use prost_reflect::DescriptorPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic_health::{
    ServingStatus,
    pb::health_server::{Health, HealthServer},
    server::{HealthReporter, health_reporter},
};

/// The service and the task that updates it: every service, and the server as a whole (""), is SERVING while `ready` is
/// true and `stop` is not cancelled.
pub(crate) async fn service(
    ready: watch::Receiver<bool>,
    stop: CancellationToken,
) -> (HealthServer<impl Health>, impl Future<Output = ()> + Send + 'static) {
    let (reporter, server) = health_reporter();
    // Before the first call can arrive, because a call before it would be told that the service is unknown.
    report(&reporter, *ready.borrow()).await;
    (server, follow(reporter, ready, stop))
}

async fn follow(reporter: HealthReporter, mut ready: watch::Receiver<bool>, stop: CancellationToken) {
    loop {
        let now = *ready.borrow_and_update();
        report(&reporter, now).await;
        tokio::select! {
            () = stop.cancelled() => break,
            changed = ready.changed() => if changed.is_err() { break },
        }
    }
    report(&reporter, false).await;
}

async fn report(reporter: &HealthReporter, serving: bool) {
    let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    reporter.set_service_status("", status).await;
    for name in services() {
        reporter.set_service_status(name, status).await;
    }
}

fn services() -> Vec<String> {
    let services = [FILE_DESCRIPTOR_SET, third_party::FILE_DESCRIPTOR_SET].map(|set| {
        let pool = DescriptorPool::decode(set).expect("the build wrote this descriptor");
        pool.services().map(|service| service.full_name().to_owned()).collect::<Vec<_>>()
    });
    services.into_iter().flatten().collect()
}
