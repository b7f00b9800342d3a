//! Keeps what an entity knows of the partners in step with the agreements.

use std::time::Duration;

use mcx_federation::PartnerDirectory;
use mcx_proto::migration::v1::WatchPartnersRequest;
use mcx_proto::migration::v1::partner_service_client::PartnerServiceClient;
use mcx_runtime::client::Outgoing;
use mcx_runtime::error::decode_status;
use tonic::Status;
use tonic::transport::Channel;

use crate::wire;

/// How long to wait before connecting again: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Keeps `directory` in step with the agreements as the own migration management at `channel` knows them: at once after each change.
/// While it cannot be reached the directory keeps what it knows, and it is tried again and again. Runs until it is dropped.
pub async fn follow_partners(channel: Channel, directory: PartnerDirectory) {
    let mut pause = FIRST_PAUSE;
    loop {
        match follow_once(&channel, &directory, &mut pause).await {
            Ok(()) => tracing::debug!("migration management ended the stream of partners"),
            Err(status) => {
                let error = decode_status(&status);
                tracing::warn!(code = ?error.code, reason = error.reason, message = error.message, "partners cannot be followed, they stay as they are");
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Follows one stream to its end. Each snapshot makes the next pause a short one again.
async fn follow_once(
    channel: &Channel,
    directory: &PartnerDirectory,
    pause: &mut Duration,
) -> Result<(), Status> {
    let mut client = PartnerServiceClient::new(Outgoing::new(channel.clone()));
    let mut snapshots = client.watch_partners(WatchPartnersRequest {}).await?.into_inner();
    while let Some(snapshot) = snapshots.message().await? {
        *pause = FIRST_PAUSE;
        match wire::partner::decode(&snapshot) {
            Ok(partners) => {
                for (partner, error) in directory.replace(partners) {
                    tracing::error!(%partner, %error, "the agreement cannot be used, what held before it stays");
                }
            }
            Err(violations) => {
                tracing::error!(fields = ?violations, "the partners cannot be understood, they stay as they are");
            }
        }
    }
    Ok(())
}
